"""Key release: hands a data key to a workload that proves what it is, and to nothing else.

``protocol`` is a sans-I/O state machine whose rules are numbered in its docstring; ``client`` and
``server`` move its bytes. May import ``keys``, ``store``, ``errors`` (and, later, ``attest`` and
``ledger``). Holds keys, never weights.
"""
