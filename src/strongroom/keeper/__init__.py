"""The one process that ever holds plaintext weights.

It obtains a data key, opens a sealed model into memory, wipes the key, locks itself down and
answers the frames of ``boundary`` on one inherited socket. Nothing that parses text, HTML, HTTP
or images enters here; a test counts this package's lines and loaded modules.

May import ``artifact``, ``keys``, the client of ``release``, ``boundary`` and torch. Never
``gateway``, ``console``, ``report``, ``cli`` or a web framework.

- ``config``: what the process is told at its start.
- ``process``: the numbered steps from start to serving, and the serving loop.
- ``egress``: the meter that charges every answer its information bound.
- ``engine/``: the interface to a model and the engines behind it.
- ``lockdown/``: the walls, by ctypes.
"""
