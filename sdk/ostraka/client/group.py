"""The orchestrators of a network as one: any may match a job that names nobody, so all of them get its input and are listened to.

Where none is registered, or none of those answers, the profile's own is taken, and jobs name it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ostraka.chain.orchestrators import ANYBODY
from ostraka.client.orchestrator import OrchestratorApi
from ostraka.client.streams import merged, together
from ostraka.errors import ConfigError, OrchestratorUnreachable, OstrakaError, Unavailable

PATIENCE_S = 2.0  # after the first answer
AGAIN_S = 0.5


class Group:
    """Threads may share it."""

    def __init__(self, find: Callable[[], Mapping[str, str]], own_url: str = "") -> None:
        """`find` gives the endpoint of each registered orchestrator by account; `own_url` is the profile's, empty where it names none."""
        self._find = find
        self._own_url = own_url
        self._apis: dict[str, OrchestratorApi] = {}

    def close(self) -> None:
        for api in self._apis.values():
            api.close()

    @property
    def own(self) -> OrchestratorApi:
        """The profile's. Raises `ConfigError` where it names none."""
        if not self._own_url:
            raise ConfigError(
                "orchestrator.url: not set, and none is registered that answers; name one in the profile, or set OSTRAKA_ORCHESTRATOR_URL"
            )
        return self._api(self._own_url)

    def whom(self) -> str:
        """What a new job should name: nobody where one of the registered answers, else the profile's own.

        Raises `OrchestratorUnreachable`: nobody is there.
        """
        asks = {api.url: api.health for api in self._registered()}
        answers, _ = together(asks, PATIENCE_S, lambda url, answer: True)
        return ANYBODY if answers else str(self.own.health()["orchestrator"])

    def reachable(self) -> OrchestratorApi:
        """One that answers: the profile's own, if it does. Raises as `whom`."""
        answers, _ = together(
            {api.url: api.health for api in self._all()}, PATIENCE_S, lambda url, _: url == self._own_url
        )
        if not answers or self._own_url in answers:
            return self.own
        return self._api(next(iter(answers)))

    def send_input(self, job_id: int, data: bytes, named: str, until: float) -> None:
        """Hands a job's input to all that may match it: those registered, or whom it names. One that takes it is enough.

        The escrow is paid by now, so while nobody takes it they are asked again, until the monotonic clock reads `until`.
        Raises what one of them said.
        """
        while True:
            apis = self._registered() if named == ANYBODY else [self.own]
            asks = {api.url: partial(api.send_input, job_id, data) for api in apis}
            took, errors = together(asks, PATIENCE_S)
            if took:
                return
            error = next((e for e in errors if isinstance(e, Unavailable)), errors[0] if errors else _nobody())
            if not isinstance(error, Unavailable):
                raise error
            if time.monotonic() > until:
                raise type(error)(f"job {job_id}: {error}; the escrow comes back after the deadline") from error
            time.sleep(AGAIN_S)

    def job(self, job_id: int, bound: str = ANYBODY) -> dict[str, Any]:
        """What they have of a job: `events`, and `replicas` as the one that it is bound to shows them, if it answers, else as others do.

        Raises `Unavailable` when nobody answers.
        """
        first = self._find().get(bound, self._own_url)
        answers, errors = together(
            {api.url: partial(api.job, job_id) for api in self._all()},
            PATIENCE_S,
            lambda url, answer: url == first and bool(answer["replicas"]),
        )
        if not answers:
            raise errors[0] if errors else _nobody()
        events: list[dict[str, Any]] = []
        replicas: dict[str, Any] = {}
        for url in sorted(answers, key=lambda url: (url != first, url)):
            events += answers[url]["events"]
            replicas = {**answers[url]["replicas"], **replicas}
        return {"job_id": job_id, "events": events, "replicas": replicas}

    def events(self, job_id: int, until: float) -> Iterator[dict[str, Any]]:
        """Events of a job from whoever has some, until it is closed or the monotonic clock reads `until`; over the death of any of them."""
        return merged([partial(api.events, job_id, until) for api in self._all()], until)

    def _registered(self) -> list[OrchestratorApi]:
        return [self._api(url) for url in dict.fromkeys(self._find().values())]

    def _all(self) -> list[OrchestratorApi]:
        found = self._registered()
        if self._own_url and self._own_url not in {api.url for api in found}:
            found.append(self.own)
        return found or [self.own]

    def _api(self, url: str) -> OrchestratorApi:
        if url not in self._apis:
            self._apis.setdefault(url, OrchestratorApi(url))
        return self._apis[url]


def _nobody() -> OstrakaError:
    return OrchestratorUnreachable("orchestrators: none is registered any more; start one, or name one in the profile")
