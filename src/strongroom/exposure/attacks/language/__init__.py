"""Attacks on language models, one a file; what they share stands beside them.

``asking`` (tokens, batches, the public base), ``questions`` (what is asked about), ``digit_tree``,
``spectrum``, ``low_rank`` and ``suffix`` are the pure parts. Nothing here knows the truth.
"""
