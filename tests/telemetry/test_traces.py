"""Spans follow the gen_ai conventions and hold nothing of what was said."""

from __future__ import annotations

import sys

import pytest

from strongroom.errors import ConfigurationRefused, EnvironmentLacks
from strongroom.telemetry import traces
from strongroom.telemetry.observer import Observer

memory = pytest.importorskip(
    "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="needs the extra otel"
)


def test_a_request_becomes_a_span() -> None:
    exporter = memory.InMemorySpanExporter()
    tracer = traces.GenAiTracer("smol", exporter)
    observer = Observer(tracer)
    watched = observer.request("chat")
    watched.admitted(10, 100)
    watched.first_output()
    watched.finished("stop", 20, 5)
    observer.request("completions").refused("gateway.bad_value", 400)
    observer.request("chat").refused("gateway.internal", 500)
    observer.request("other").finished("served", 0, 0)
    tracer.close()
    answered, refused, failed = exporter.get_finished_spans()
    assert answered.name == "chat smol"
    assert answered.parent is None
    assert answered.end_time >= answered.start_time
    found = dict(answered.attributes)
    assert found.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "strongroom",
        "gen_ai.request.model": "smol",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.response.finish_reasons": ("stop",),
        "http.response.status_code": 200,
    }
    assert refused.attributes["error.type"] == "gateway.bad_value"
    assert refused.name == "text_completion smol"
    assert refused.status.is_unset
    assert not failed.status.is_ok
    assert not failed.status.is_unset


def test_the_share_is_kept() -> None:
    exporter = memory.InMemorySpanExporter()
    tracer = traces.GenAiTracer("smol", exporter, share=0.0)
    Observer(tracer).request("chat").finished("stop", 1, 1)
    tracer.close()
    assert exporter.get_finished_spans() == ()


def test_names_are_those_of_the_conventions() -> None:
    conventions = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    known = {value for value in vars(conventions).values() if isinstance(value, str)}
    import inspect
    import re

    used = set(re.findall(r'"(gen_ai\.[a-z_.]+)"', inspect.getsource(traces)))
    assert len(used) >= 7
    assert used <= known


def test_only_an_address_can_be_an_endpoint() -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        traces.otlp_exporter("file:///etc/passwd")
    assert caught.value.code == "telemetry.bad_endpoint"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentLacks) as caught:
        traces.otlp_exporter("http://127.0.0.1:4318/v1/traces")
    assert caught.value.code == "telemetry.missing_extra"
