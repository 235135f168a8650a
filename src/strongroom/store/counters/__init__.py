"""Counters of what organisations and keys spend, one adapter a file.

- ``interface``: ``Counters``; the rules are those of ``store.limits``.
- ``account``: the state of one subject, and what it allows. Pure.
- ``memory``: in this process, for one gateway.
- ``redis``: Valkey or Redis, for replicas; one round trip a reservation, one a settlement.
- ``leased``: blocks taken from another store and spent here without a round trip.
"""
