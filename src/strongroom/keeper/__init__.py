"""The one process that ever holds plaintext weights.

It obtains a data key, opens a sealed model into memory, wipes the key, locks itself down and
answers the frames of ``boundary`` on one inherited socket. Nothing that parses text, HTML, HTTP
or images enters here; a test counts this package's lines and loaded modules.

May import ``artifact``, ``keys``, the client of ``release``, ``boundary`` and torch. Never
``gateway``, ``console``, ``report``, ``cli`` or a web framework.

- ``process``: the numbered steps from start to wipe; ``config``: what it is told; ``loading``:
  from a sealed folder to open weights and a wiped key; ``arena``: tensors over those.
- ``channel``: the loop over the one socket; ``session``: frames in, frames out, without I/O;
  ``generations`` and ``classifications``: admission and answers; ``card``: what the model is.
- ``patrol``: looks at the weights again and again.
- ``marking``: which answers carry a watermark.
- ``disclosure``: the rung that each tenant holds.
- ``egress``: the meter that charges every answer its information bound; ``meter_state``: its
  memory over restarts.
- ``engine/``: the interface to a model and the engines behind it.
- ``lockdown/``: the walls, by ctypes.
"""
