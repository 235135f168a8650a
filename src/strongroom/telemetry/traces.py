"""OpenTelemetry spans of requests, by the gen_ai semantic conventions. Needs the extra ``otel``.

Off unless the operator names a collector. A span holds counts, times, the model's name and how the
request ended: no message, no organisation, no key. The caller's trace context is not taken over: it
is a stranger's word, and with it a caller could force sampling or mix into the operator's traces.

Source of names: opentelemetry-semantic-conventions 0.66b2; a test compares them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from strongroom.errors import ConfigurationRefused, EnvironmentLacks
from strongroom.telemetry.observer import Watched

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_OPERATIONS: Final = {
    "chat": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "infer": "classify",
}
_PLAIN_ENDS: Final = frozenset({"stop", "length", "egress", "label", "embedding", "served"})


class GenAiTracer:
    """Makes one span of each request that reached for the model, after its end.

    Args:
        model: name that callers use.
        exporter: where spans go, in batches, from a thread of its own. Full queues drop spans.
        share: of requests that are traced, 0 to 1.
    """

    def __init__(self, model: str, exporter: SpanExporter, share: float = 1.0) -> None:
        from opentelemetry.context import Context
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
        from opentelemetry.trace import SpanKind, Status, StatusCode

        resource = Resource({"service.name": "strongroom-gateway"})
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(share), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("strongroom")
        self._model = model
        self._root = Context()
        self._kind = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)

    def ended(self, watched: Watched, outcome: str, status: int) -> None:
        """See ``observer.Tracer``."""
        operation = _OPERATIONS.get(watched.route)
        if operation is None:
            return
        end = time.time_ns()
        began = end - int(watched.seconds * 1e9)
        attributes: dict[str, str | int | float | tuple[str, ...]] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "strongroom",
            "gen_ai.request.model": self._model,
            "http.response.status_code": status,
        }
        if watched.max_tokens:
            attributes["gen_ai.request.max_tokens"] = watched.max_tokens
        if watched.input_tokens:
            attributes["gen_ai.usage.input_tokens"] = watched.input_tokens
            attributes["gen_ai.usage.output_tokens"] = watched.output_tokens
        if watched.first is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = watched.first
        if outcome in _PLAIN_ENDS:
            attributes["gen_ai.response.finish_reasons"] = (outcome,)
        else:
            attributes["error.type"] = outcome
        span = self._tracer.start_span(
            f"{operation} {self._model}", self._root, self._kind, attributes, start_time=began
        )
        if status >= 500:
            span.set_status(self._failed)
        span.end(end)

    def close(self) -> None:
        """Send what is queued, and stop the thread."""
        self._provider.shutdown()


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Sends spans as OTLP over HTTP to ``endpoint``, such as ``http://127.0.0.1:4318/v1/traces``.

    Raises:
        ConfigurationRefused: ``telemetry.bad_endpoint``.
        EnvironmentLacks: ``telemetry.missing_extra``.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationRefused(
            "telemetry.bad_endpoint",
            "The address of the trace collector is not an http or https URL.",
            action="Give one such as http://127.0.0.1:4318/v1/traces.",
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise EnvironmentLacks(
            "telemetry.missing_extra",
            "Traces need OpenTelemetry, which is not installed.",
            action="Install strongroom with the extra: pip install 'strongroom[otel]'.",
        ) from None
    make: Callable[..., SpanExporter] = OTLPSpanExporter
    return make(endpoint=endpoint)
