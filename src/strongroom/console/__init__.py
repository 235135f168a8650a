"""The operators' pages: who is served what, who tried what, and what could have left.

A process of its own, apart from the gateway: it reads the store, the log folders and each gateway's
``/status``, and the gateway neither knows nor needs it. The one thing it changes is a switch.

- ``reading``: ``Snapshot``, all that a page can show, and ``Reader``, which takes one.
- ``operators``: operator keys, stored as keyed digests in one file of the home.
- ``sessions``, ``throttle``: who is logged in, and how often one may try.
- ``http``, ``app``: raw ASGI; every answer with the same strict headers.
- ``pages``, ``figures``, ``templates/``, ``static/``: what is shown. No script of ours, no inline
  style; htmx comes from an installed package whose digest is pinned (``assets``).

Imports nothing of ours but ``errors``, ``host_header``, ``store`` and ``ledger``; nobody but
``cli`` imports it.
"""
