"""One trace a job. Its id follows from the job, so all programs write into the same trace and pass no context to each other.

Spans carry numbers and names that stand in the code: no prompts, no tokens, no keys, and of an error only its kind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from ostraka.crypto.eip712 import Domain
from ostraka.errors import ConfigError

if TYPE_CHECKING:
    from ostraka.telemetry.otel import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MOST_BEGUN = 4_096  # jobs of which only the beginning is known: more are forgotten

Attribute = str | int | float | bool
_tracing: Tracing | None = None
_begun: dict[bytes, int] = {}
_current: ContextVar[int | None] = ContextVar("job", default=None)


def open_traces(program: str) -> None:
    """Exports from now on, where the standard variables name an OTLP endpoint (HTTP, protobuf); a second call changes nothing.

    Raises `ConfigError` where one is named and OpenTelemetry is not installed.
    """
    global _tracing
    named = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if _tracing is not None or named is None:
        return
    try:
        from ostraka.telemetry.otel import Tracing
    except ImportError as error:
        raise ConfigError(
            f"{named}: set, but OpenTelemetry is not installed ({error}); "
            "install it with `pip install 'ostraka[telemetry]'`, or unset the variable"
        ) from error
    _tracing = Tracing(program)


def close_traces() -> None:
    """Sends what has not been sent yet, and stops."""
    global _tracing
    if _tracing is not None:
        _tracing.close()
        _tracing = None


def trace_id(domain: Domain, job_id: int) -> bytes:
    """16 bytes: the beginning of keccak(chain id, market, job id), each in 32 bytes. The 8 bytes after them are the root span's id."""
    return _seed(domain, job_id)[:16]


def _seed(domain: Domain, job_id: int) -> bytes:
    market = bytes.fromhex(domain.contract.removeprefix("0x"))
    return keccak(domain.chain_id.to_bytes(32, "big") + market.rjust(32, b"\0") + int(job_id).to_bytes(32, "big"))


def current_job() -> int | None:
    """The job that this thread or task is at, for logs."""
    return _current.get()


@contextmanager
def span(domain: Domain, job_id: int, name: str, **attributes: Attribute) -> Iterator[None]:
    """A piece of work on a job: a span of its trace, under the one that this task is in if that is of the same job, else under the root."""
    token = _current.set(job_id)
    try:
        if _tracing is None:
            yield
        else:
            with _tracing.span(_seed(domain, job_id), name, {"job": job_id, **attributes}):
                yield
    finally:
        _current.reset(token)


def past_span(
    domain: Domain, job_id: int, name: str, began_ns: int, ended_ns: int = 0, **attributes: Attribute
) -> None:
    """A span that is over. Times are those of `time.time_ns()`; the end is now where none is given."""
    if _tracing is not None:
        seed = _seed(domain, job_id)
        _tracing.record(seed, name, began_ns, ended_ns or time.time_ns(), {"job": job_id, **attributes})


def begin_job(domain: Domain, job_id: int, began_ns: int) -> None:
    """Notes when the requester began with a job: the root span of its trace, which `end_job` writes."""
    if _tracing is not None:
        if len(_begun) >= MOST_BEGUN:
            _begun.pop(next(iter(_begun)))
        _begun[_seed(domain, job_id)] = began_ns


def end_job(domain: Domain, job_id: int, **attributes: Attribute) -> None:
    if _tracing is not None:
        seed = _seed(domain, job_id)
        began_ns = _begun.pop(seed, None)
        if began_ns is not None:
            _tracing.record(seed, "job", began_ns, time.time_ns(), {"job": job_id, **attributes}, is_root=True)
