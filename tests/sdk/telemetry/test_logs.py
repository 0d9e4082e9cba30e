from __future__ import annotations

import json
import logging

import pytest

from ostraka.crypto.eip712 import Domain
from ostraka.errors import ConfigError
from ostraka.telemetry import setup_logging, span
from ostraka.telemetry.logs import JsonLines


def line(message, *arguments, error=None):
    record = logging.LogRecord("ostraka.node", logging.WARNING, "f.py", 1, message, arguments, error)
    return json.loads(JsonLines().format(record))


def test_a_line_is_one_object_with_the_job_that_is_worked_on():
    assert "job_id" not in line("starting")
    with span(Domain(1, "0x11"), 7, "match"):
        told = line('replica %d says "%s"\nand more', 2, "é")
    assert (told["job_id"], told["level"], told["logger"]) == (7, "warning", "ostraka.node")
    assert told["message"] == 'replica 2 says "é"\nand more'
    assert told["time"].endswith("+00:00")


def test_what_broke_has_its_traceback():
    try:
        raise KeyError("x")
    except KeyError as error:
        told = line("broke", error=(KeyError, error, error.__traceback__))
    assert "KeyError" in told["traceback"]


def test_another_kind_of_log_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("OSTRAKA_LOG", "xml")
    with pytest.raises(ConfigError, match="OSTRAKA_LOG: 'xml' is unknown; write text or json"):
        setup_logging()
