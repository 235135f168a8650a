"""What the rest of strongroom sees of the record.

A log is a folder in C2SP tlog-tiles form that one process at a time writes. In a home::

    H/keys/log.key            signs checkpoints, keys digests (mode 0600)
    H/keys/log.pub            verifier key of all logs of the home
    H/state/log/<name>/       one log: ``gateway``, ``gateway-<replica>``, ``release``, ``operator``
    H/state/log.seen/<name>   that the log must exist, and the last checkpoint seen of it

How it is used::

    key = LogKey.load(home / "keys" / "log.key")             # ledger.log_key
    with open_log(home / "state", "gateway", key) as log:    # ledger.writer
        index = await log.begin(RequestIntent(...))          # the kernel has it when it returns
        await log.durable(index)                             # the disk has it, too
        index = await log.append(RequestFinal(...))          # both in one
        log.write(Switched(...))                             # the same, for code without a loop
        key.digest("input", body)                            # HMAC-SHA-256, 64 hex digits
        for charge in charges(log.records()): ...            # ledger.recovery: budgets at a start

``open_log`` verifies the whole log first, and refuses a missing, damaged, truncated or forked one
with a code of ``ledger.reasons``: let that error stop the start.
"""

from __future__ import annotations

from typing import Protocol

from strongroom.ledger.entries import AnyEntry


class Record(Protocol):
    """Where entries go. One object serves any number of tasks and threads."""

    async def begin(self, entry: AnyEntry) -> int:
        """Append ``entry``; returns its index once it is signed for and the kernel has it.

        No end of the process can lose it then, but a power cut can until it is ``durable``, which
        it becomes soon by itself. Raises as ``append``.
        """
        ...

    async def durable(self, index: int) -> None:
        """Wait until the entry that ``begin`` gave this index is on the disk.

        Raises as ``append``.
        """
        ...

    async def append(self, entry: AnyEntry) -> int:
        """Append ``entry``; returns its index once it is on the disk and signed for.

        Entries of concurrent callers share one fsync. Being cancelled does not take an entry back.

        Raises:
            LedgerRefused: ``ledger.bad_entry``: the entry breaks its schema; nothing was appended.
            EnvironmentLacks: ``ledger.write_failed`` or ``ledger.closed``; whether the entry will
                be there after a restart is not known. Every later call fails as well.
        """
        ...

    def write(self, entry: AnyEntry) -> int:
        """The same for code without an event loop: blocks until the entry is durable."""
        ...
