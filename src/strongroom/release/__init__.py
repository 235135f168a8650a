"""Key release: hands a data key to a workload that proves what it is, and to nothing else.

May import ``attest``, ``keys``, ``store``, ``errors``. Holds keys, never weights.

- ``protocol``: the service's sans-I/O state machine; its rules are numbered there.
- ``requester``: the workload's sans-I/O side, its steps numbered likewise.
- ``messages``, ``binding``, ``nonces``, ``record``: what both or either of them handle.
- ``evidence``: what a workload says of itself; ``judging``: from its bytes to a verdict;
  ``policies``: who may have a key.
- ``service_key``: the Ed25519 key that signs answers, which workloads pin.
- ``client``, ``server``: move the bytes; ``config``, ``unlockers``, ``hardening``, ``__main__``:
  the process.
"""
