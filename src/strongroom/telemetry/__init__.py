"""What operators see of a running gateway: numbers, log lines, traces. Never a payload or a key.

- ``observer``: ``Observer`` and ``Watched``, the only names the request path calls.
- ``counts``: the plain numbers behind them.
- ``exposition``: those numbers as Prometheus metrics.
- ``operator_app``: the ASGI application of the operators' listener; never on the public door.
- ``logs``: one JSON object a line, of fields that are allowed by name and shape.
- ``traces``: OpenTelemetry spans with the gen_ai conventions; needs the extra ``otel``.

Imports nothing of ours but ``errors`` and ``host_header``; prometheus_client and OpenTelemetry
only where used.
"""
