"""Logs of programs: lines for people, or with `OSTRAKA_LOG=json` one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

from ostraka.errors import ConfigError
from ostraka.telemetry.traces import current_job

FOR_PEOPLE = "%(asctime)s %(levelname)s %(message)s"


class JsonLines(logging.Formatter):
    """`time`, `level`, `logger`, `message`; `job_id` where the work is a job's; `traceback` where something broke."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (job_id := current_job()) is not None:
            line["job_id"] = job_id
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Stderr(logging.StreamHandler[TextIO]):
    """To whatever stderr is by then: while a progress bar is drawn, that puts lines above it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise AttributeError("stream")


def setup_logging(level: int = logging.INFO) -> None:
    """To stderr, as `OSTRAKA_LOG` says: text (the default) or json. Raises `ConfigError` for anything else."""
    kind = os.environ.get("OSTRAKA_LOG") or "text"
    if kind not in ("text", "json"):
        raise ConfigError(f"OSTRAKA_LOG: {kind!r} is unknown; write text or json")
    handler = _Stderr()
    handler.setFormatter(JsonLines() if kind == "json" else logging.Formatter(FOR_PEOPLE))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(kind == "json")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its line for each request says nothing that ours do not
