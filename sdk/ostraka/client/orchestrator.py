"""The orchestrator's HTTP interface, from the requester's side."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

from ostraka import errors
from ostraka.errors import BadFrame, OrchestratorUnreachable, OstrakaError

TIMEOUT_S = 30.0
RECONNECT_S = 0.5


class OrchestratorApi:
    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._http.close()

    def health(self) -> dict[str, Any]:
        return dict(self._json("GET", "/healthz"))

    def status(self) -> dict[str, Any]:
        """What it is doing: jobs by state, nodes, tasks that wait, ended or broke."""
        return dict(self._json("GET", "/v1/status"))

    def send_input(self, job_id: int, data: bytes) -> None:
        self._json("POST", f"/v1/jobs/{job_id}/input", content=data)

    def job(self, job_id: int) -> dict[str, Any]:
        """Its `events`, and what is known of its `replicas`."""
        seen = self._json("GET", f"/v1/jobs/{job_id}")
        try:
            return {
                "job_id": job_id,
                "events": [_event(event) for event in seen["events"]],
                "replicas": {int(replica): dict(value) for replica, value in seen["replicas"].items()},
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFrame(f"orchestrator {self.url}: job {job_id}: {type(error).__name__}: {error}") from error

    def nodes(self) -> list[dict[str, Any]]:
        return list(self._json("GET", "/v1/nodes"))

    def events(self, job_id: int, until: float, over: threading.Event) -> Iterator[dict[str, Any]]:
        """Events of a job until it is closed, `over` is set or the monotonic clock reads `until`. Goes on after a dropped connection.

        Raises `BadFrame` for what is no event.
        """
        last = "0"
        while time.monotonic() < until and not over.is_set():
            try:
                with self._http.stream("GET", f"/v1/jobs/{job_id}/events", params={"after": last}) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        raise _error(answer)
                    for line in answer.iter_lines():
                        if line.startswith("id: "):
                            last = line[4:]
                        elif line.startswith("data: "):
                            event = _event(json.loads(line[6:]))
                            yield event
                            if event["type"] == "closed":
                                return
                        if time.monotonic() >= until or over.is_set():
                            return
            except httpx.HTTPError:
                over.wait(RECONNECT_S)  # the job runs on without us; its events are kept
            except ValueError as error:
                raise BadFrame(f"orchestrator {self.url}: job {job_id}: an event is no JSON ({error})") from error

    def _json(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise OrchestratorUnreachable(
                f"orchestrator.url: nothing answers at {self.url} ({error}); start one or correct the address"
            ) from error
        if answer.status_code != 200:
            raise _error(answer)
        return answer.json()


def _event(event: Any) -> dict[str, Any]:
    """Raises `BadFrame` unless it has what readers of events rely on."""
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise BadFrame(f"event: {str(event)[:100]} has no type")
    needed = {"token": ("index", "token")}.get(event["type"], ())
    if not all(isinstance(event.get(name), int) for name in needed):
        raise BadFrame(f"event: {str(event)[:100]} lacks one of {', '.join(needed)}")
    return event


def _error(answer: httpx.Response) -> OstrakaError:
    """The orchestrator's error, as the same class here."""
    try:
        body = answer.json()
        kind = getattr(errors, body["error"])
        return kind(body["message"])  # type: ignore[no-any-return]
    except (ValueError, KeyError, AttributeError, TypeError):
        return OrchestratorUnreachable(f"orchestrator: HTTP {answer.status_code} {answer.text[:200]}")
