"""What is told of a running program: one trace a job, and logs. Nothing of OpenTelemetry is loaded unless an endpoint is set."""

from ostraka.telemetry.logs import setup_logging
from ostraka.telemetry.traces import begin_job, close_traces, end_job, open_traces, past_span, span, trace_id

__all__ = ["begin_job", "close_traces", "end_job", "open_traces", "past_span", "setup_logging", "span", "trace_id"]
