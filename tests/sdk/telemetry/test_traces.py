"""Spans under ids that follow from the job, whoever writes them; and nothing at all where no endpoint is named."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from tests.kit.otlp import receiving

from ostraka.crypto.eip712 import Domain
from ostraka.errors import ConfigError
from ostraka.telemetry import begin_job, close_traces, end_job, open_traces, past_span, span, trace_id, traces

HERE, ELSEWHERE = Domain(1337, "0x" + "11" * 20), Domain(1, "0x" + "11" * 20)


@pytest.fixture
def receiver(monkeypatch):
    with receiving() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        open_traces("a-program")
        yield running
        close_traces()


def test_a_trace_is_the_same_in_every_program_and_another_for_every_job_and_market():
    assert trace_id(HERE, 7) == trace_id(Domain(1337, "0x" + "11" * 20), 7)
    assert len({trace_id(HERE, 7), trace_id(HERE, 8), trace_id(ELSEWHERE, 7), trace_id(Domain(1337, "0x22"), 7)}) == 4
    assert len(trace_id(HERE, 7)) == 16


def test_spans_of_a_job_hang_under_its_root(receiver):
    begin_job(HERE, 7, time.time_ns())
    with span(HERE, 7, "outer", replica=2), span(HERE, 7, "inner"):
        pass
    past_span(HERE, 7, "before", 10, 20)
    end_job(HERE, 7)
    end_job(HERE, 7)  # the root is written once
    close_traces()
    spans = {s.name: s for s in receiver.spans}
    assert len(receiver.spans) == 4
    assert {s.trace for s in spans.values()} == {trace_id(HERE, 7)}
    assert {s.program for s in spans.values()} == {"a-program"}
    assert spans["job"].parent == b""
    assert spans["outer"].parent == spans["before"].parent == spans["job"].span
    assert spans["inner"].parent == spans["outer"].span
    assert spans["outer"].attributes == {"job": 7, "replica": 2}


def test_work_on_one_job_inside_another_is_in_its_own_trace(receiver):
    with span(HERE, 7, "outer"), span(HERE, 8, "other"):
        pass
    close_traces()
    spans = {s.name: s for s in receiver.spans}
    assert spans["other"].trace == trace_id(HERE, 8)
    assert spans["other"].parent != spans["outer"].span


def test_of_an_error_only_its_kind_is_told(receiver):
    with pytest.raises(ValueError), span(HERE, 7, "broken"):
        raise ValueError("the prompt was: a secret")
    close_traces()
    (body,) = receiver.bodies
    assert b"ValueError" in body
    assert b"secret" not in body


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded():
    code = (
        "import sys; from ostraka.telemetry import open_traces, span; from ostraka.crypto.eip712 import Domain\n"
        "open_traces('p')\nwith span(Domain(1, '0x11'), 1, 'x'): pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('opentelemetry')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.strip() == "[]"


def test_an_endpoint_without_the_package_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "ostraka.telemetry.otel", None)
    with pytest.raises(ConfigError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT: set.*pip install 'ostraka\[telemetry\]'"):
        open_traces("p")


def test_a_busy_client_that_never_reads_its_answers_forgets_the_oldest(receiver):
    for job in range(traces.MOST_BEGUN + 5):
        begin_job(HERE, job, 1)
    assert len(traces._begun) == traces.MOST_BEGUN
    traces._begun.clear()
