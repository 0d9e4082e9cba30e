"""The orchestrator's HTTP interface, from the requester's side."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx

from ostraka import errors
from ostraka.errors import OrchestratorUnreachable, OstrakaError

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
        return dict(self._json("GET", f"/v1/jobs/{job_id}"))

    def nodes(self) -> list[dict[str, Any]]:
        return list(self._json("GET", "/v1/nodes"))

    def events(self, job_id: int, until: float) -> Iterator[dict[str, Any]]:
        """Events of a job until it is closed or the monotonic clock reads `until`. Goes on after a dropped connection."""
        last = "0"
        while time.monotonic() < until:
            try:
                with self._http.stream("GET", f"/v1/jobs/{job_id}/events", params={"after": last}) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        raise _error(answer)
                    for line in answer.iter_lines():
                        if line.startswith("id: "):
                            last = line[4:]
                        elif line.startswith("data: "):
                            event = json.loads(line[6:])
                            yield event
                            if event["type"] == "closed":
                                return
                        if time.monotonic() >= until:
                            return
            except httpx.HTTPError:
                time.sleep(RECONNECT_S)  # the job runs on without us; its events are kept

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


def _error(answer: httpx.Response) -> OstrakaError:
    """The orchestrator's error, as the same class here."""
    try:
        body = answer.json()
        kind = getattr(errors, body["error"])
        return kind(body["message"])  # type: ignore[no-any-return]
    except (ValueError, KeyError, AttributeError, TypeError):
        return OrchestratorUnreachable(f"orchestrator: HTTP {answer.status_code} {answer.text[:200]}")
