"""Answers possession challenges, so that an honest node is never slashed for being asleep.

It looks at the chain, not at events: after a restart or a long absence nothing has been missed. Whatever goes wrong is logged and
tried again, until the deadline.
"""

from __future__ import annotations

import logging

from ostraka.chain import Market, Sender
from ostraka.client.possession import answer
from ostraka.errors import OstrakaError
from ostraka.store import ContentStore
from ostraka.types import ChallengeState, ModelId, NodeId
from ostraka_worker.faults import Fault

log = logging.getLogger("ostraka.possession")


class Responder:
    def __init__(self, market: Market, sender: Sender, store: ContentStore, node_id: NodeId, fault: Fault) -> None:
        self._market, self._sender, self._store, self._node_id, self._fault = market, sender, store, node_id, fault
        self._models: set[ModelId] = set()
        self._knows_claims = False

    def watch(self, model_id: ModelId) -> None:
        """From now on challenges about this model are answered too."""
        self._models.add(model_id)

    def look(self) -> None:
        """Answers what is open. Raises nothing but what the chain's absence raises."""
        if not self._knows_claims:  # those of an earlier life are as binding
            self._models.update(self._market.claimed_models(self._node_id))
            self._knows_claims = True
        for model_id in list(self._models):
            challenge_id = self._market.open_challenge(self._node_id, model_id)
            if challenge_id and not self._fault.forgets_shards:
                self._answer(challenge_id)

    def _answer(self, challenge_id: int) -> None:
        try:
            state = answer(self._market, self._sender, self._store, challenge_id)
        except OstrakaError as error:
            log.error("possession challenge %d: %s", challenge_id, error)
        else:
            if state is not ChallengeState.OPEN:
                log.info("possession challenge %d: %s", challenge_id, state.name.lower())
