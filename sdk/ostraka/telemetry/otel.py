"""The only file that imports OpenTelemetry: spans under ids that are given, exported in batches over OTLP/HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
    use_span,
)

Attributes = Mapping[str, str | int | float | bool]
_given: ContextVar[tuple[int, int] | None] = ContextVar("given", default=None)


class _Ids(RandomIdGenerator):
    """Random, but for a root span, whose ids are given."""

    def generate_trace_id(self) -> int:
        given = _given.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        given = _given.get()
        return given[1] if given else super().generate_span_id()


class Tracing:
    """A provider of its own: one that the surrounding program has set up for itself is left alone."""

    def __init__(self, program: str) -> None:
        """Endpoint, headers, sampling and batches are set by the standard variables, and the name unless one of them says another."""
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: program}
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=_Ids())
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("ostraka")

    def close(self) -> None:
        self._provider.shutdown()

    @contextmanager
    def span(self, seed: bytes, name: str, attributes: Attributes) -> Iterator[None]:
        """`seed` begins with the trace's id (16 bytes) and its root's (8)."""
        started = self._start(seed, name, attributes, None)
        try:
            with use_span(started, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            started.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            started.end()

    def record(
        self, seed: bytes, name: str, began_ns: int, ended_ns: int, attributes: Attributes, is_root: bool = False
    ) -> None:
        if is_root:
            token = _given.set(_ids(seed))
            try:
                started = self._tracer.start_span(name, Context(), attributes=attributes, start_time=began_ns)
            finally:
                _given.reset(token)
        else:
            started = self._start(seed, name, attributes, began_ns)
        started.end(ended_ns)

    def _start(self, seed: bytes, name: str, attributes: Attributes, began_ns: int | None) -> Span:
        trace, root = _ids(seed)
        here = get_current_span()
        if here.get_span_context().trace_id != trace:
            here = NonRecordingSpan(
                SpanContext(trace, root, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            )
        return self._tracer.start_span(
            name, set_span_in_context(here, Context()), attributes=attributes, start_time=began_ns
        )


def _ids(seed: bytes) -> tuple[int, int]:
    return int.from_bytes(seed[:16], "big"), int.from_bytes(seed[16:24], "big")
