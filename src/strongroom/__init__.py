"""strongroom: let people use a model without holding it.

A map of the house; each package's own docstring says what may enter it and what it may touch.

- ``artifact``: the sealed model: framing, container, seal, open, sign, verify, rollback.
- ``keys``: who can unwrap a data key.
- ``attest``: evidence in, facts or a refusal out; no network.
- ``release``: hands a data key to a workload, and to nothing else.
- ``boundary``: the frames between gateway and keeper, and their limits.
- ``keeper``: the one process that holds plaintext weights.
- ``gateway``: the process that faces the network; no weights, no keys.
- ``schemas``: registered schemas of structured output, compiled.
- ``ledger``: the record: a Merkle log with signed checkpoints.
- ``exposure``, ``standards``, ``report``: attacks, their public ids, and what they found.
- ``console``, ``telemetry``: what operators see.
- ``store``: state behind one interface.
- ``cli``: one file a verb.

Importing this package imports nothing else: every dependency is loaded by the room that needs it.
"""

__version__ = "0.1.0"
