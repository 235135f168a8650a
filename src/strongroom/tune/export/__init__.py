"""The gate before an adapter leaves: what is tried on it, what is told of it, in what form it goes.

- ``limits``: the owner's limits. ``gate``: the numbered checks, pure.
- ``oracle``, ``merges``: the two attacks on the base, with full knowledge. ``behaviour``: what the
  adapted model says of its training data. ``scan``: a look at the matrices alone.
- ``ties``: phrases of the training data that bring that data's answer, wherever they stand.
- ``factors``: the form in which an adapter leaves. ``grant``, ``statement``: the owner's signed
  word before, and the gate's after.
- ``wire``: between the process in which all of this runs (``cli.adapter_gate``) and its runner.

May import ``exposure.attacks`` (numpy only) and the keeper's engine; never the command line.
"""
