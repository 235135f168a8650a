"""Traffic of extraction attacks and of honest users, made for ``benchmarks/detection.py``.

Texts come from what Debian installs (``dict-foldoc``, ``fortunes``) and Python's own library,
images from ``demo.datasets``. Honest users are imagined; only what they write about is real.
"""
