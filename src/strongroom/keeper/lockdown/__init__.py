"""The keeper's walls, by ctypes: what the process gives up once the model is open.

One file a wall; ``docs/lockdown.md`` says what each stops and what it leaves.

- ``walls``: ``lock()`` raises them in order. ``memory``: ``protect_arena()``.
- ``probe``: what this kernel offers. ``selftest``, ``primitives``: attacks on the walls.
- ``descriptors``, ``capabilities``, ``process_flags``, ``landlock``, ``limits``, ``seccomp`` (rules
  compiled by ``bpf``): the walls.
- ``kernel``, ``numbers``: system calls. ``threads``: reaching those that exist already.

Pure standard library; nothing of ours but ``errors``.
"""

from strongroom.keeper.lockdown.memory import protect_arena
from strongroom.keeper.lockdown.probe import ProbeResult, probe
from strongroom.keeper.lockdown.walls import WALLS, lock

__all__ = ["WALLS", "ProbeResult", "lock", "probe", "protect_arena"]
