"""The desk: what every task needs, opened once a process."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ostraka.chain import Court, Deployment, Sender, connect
from ostraka.chain.heads import Heads
from ostraka.chain.job_log import JobFacts
from ostraka.chain.remember import Remembered
from ostraka.chain.views import NodeView
from ostraka.crypto.keys import load_key
from ostraka.errors import ConfigError
from ostraka.model import MAX_MANIFEST_BYTES, AnyManifest, Manifest, load_manifest
from ostraka.store import ContentStore, cid_of_digest, open_store
from ostraka.types import OSTR, NodeId, OrchestratorStatus
from ostraka_orchestrator.board import Board, Heartbeat, open_board
from ostraka_orchestrator.config import OrchestratorConfig
from ostraka_orchestrator.orders import is_member
from ostraka_orchestrator.planner import ModelShape, Weights
from ostraka_orchestrator.roster import Ways
from ostraka_orchestrator.state import JobEntry

log = logging.getLogger("ostraka.orchestrator")
NODE_S = 10.0  # how long a node's standing is remembered
STAKE_TTL_S = 60.0
BEATS_TTL_S = 1.0
MEMBER_TTL_S = 5.0
WEIGHTS_TTL_S = 10.0
DIGEST_BYTES = 32


@dataclass(frozen=True)
class Desk:
    config: OrchestratorConfig
    board: Board
    market: Court
    sender: Sender
    store: ContentStore
    heads: Heads  # tell of new chain blocks, where the chain has a WebSocket
    ways: dict[bytes, Ways] = field(default_factory=lambda: defaultdict(Ways))  # by model
    _manifests: dict[bytes, AnyManifest] = field(default_factory=dict)
    _nodes: Remembered[int, NodeView] = field(default_factory=lambda: Remembered(NODE_S))
    _answers: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def node(self, node_id: int) -> NodeView:
        """As of a moment ago: what has changed since costs a replica, and the chain refuses what must not be."""
        return self._nodes.get(node_id, lambda: self.market.node(NodeId(node_id)))

    @staticmethod
    def open(config: OrchestratorConfig) -> Desk:
        """Raises `ChainUnreachable`, `ConfigError` or `Unavailable`: whichever part is missing is named."""
        deployment = Deployment.load(config.profile.deployment)
        web3 = connect(config.profile.chain_url)
        market = Court(web3, deployment)
        heads = Heads(config.profile.chain_ws_url)
        market.follow_jobs(heads)
        sender = Sender(web3, load_key(config.key))
        registered = market.orchestrator(sender.address).status is OrchestratorStatus.ACTIVE
        if not registered and not market.is_orchestrator(sender.address):
            raise ConfigError(
                f"key {config.key}: {sender.address} is not allowed as an orchestrator by the JobMarket, nor registered on chain"
            )
        board = open_board(config.queue_url, market, sender.address)
        board.check()
        return Desk(config, board, market, sender, open_store(config.profile.store_url), heads)

    def manifest(self, model_id: bytes) -> AnyManifest:
        """Its CID is its digest, so what the store returns is what the chain names. Kept: a manifest never changes."""
        if model_id not in self._manifests:
            data = self.store.get(cid_of_digest(model_id), max_bytes=MAX_MANIFEST_BYTES)
            self._manifests[model_id] = load_manifest(data)
        return self._manifests[model_id]

    def generates(self, model_id: bytes) -> bool:
        """Whether its jobs are answered token by token."""
        return isinstance(self.manifest(model_id), Manifest)

    def stake_units(self, operator: str) -> float:
        """OSTR that an operator has staked; looked up once a minute."""
        return max(self._staked(operator), 1) / OSTR

    def is_bonded(self, operator: str, model_id: bytes) -> bool:
        """Whether an operator has as much staked as the model asks for; what thaws does not count.

        Looked up once a minute, like the model's minimum. Who had too little may have added to it: that is looked up more often.
        """
        minimum: int = self._kept(f"minimum:{model_id.hex()}", STAKE_TTL_S, lambda: self.market.minimum_stake(model_id))
        return self._staked(operator) >= minimum or self._staked(operator, NODE_S) >= minimum

    def _staked(self, operator: str, ttl_s: float = STAKE_TTL_S) -> int:
        key = f"stake:{ttl_s:g}:{operator}"
        return int(self._kept(key, ttl_s, lambda: self.market.account(operator).staked))

    def has_stake(self) -> bool:
        """Whether this orchestrator is registered, or still unbonding: what it signs can be held against it."""
        held: bool = self._kept("member", MEMBER_TTL_S, lambda: is_member(self.market, self.sender.address))
        return held

    def make_room(self, job_id: int, job: JobEntry | JobFacts) -> None:
        """Drops what the board has of another job of this number, which a reorganization of the chain took back.

        Whoever has stake keeps the routes that it signed: others for the same number would be an offence.
        """
        whose = job_mark(job)
        if not self.board.is_of(job_id, whose):
            log.warning(
                "job %d is another one since the chain was reorganized; what was kept of the first is dropped", job_id
            )
            self.board.clear(job_id, whose, routes=not self.has_stake())

    def beats(self) -> dict[int, Heartbeat]:
        """Heartbeats of this second: for what does not need the newest."""
        found: dict[int, Heartbeat] = self._kept("beats", BEATS_TTL_S, self.board.heartbeats)
        return found

    def weights(self, model_id: bytes) -> Weights:
        """What the planner has learnt for a model, looked up every few seconds."""
        found: Weights = self._kept(f"weights:{model_id.hex()}", WEIGHTS_TTL_S, lambda: self.board.weights(model_id))
        return found

    def _kept(self, key: str, ttl_s: float, ask: Callable[[], Any]) -> Any:
        now = time.monotonic()
        if key not in self._answers or self._answers[key][0] < now:
            self._answers[key] = now + ttl_s, ask()
        return self._answers[key][1]

    def shape(self, model_id: bytes) -> ModelShape:
        return shape_of(self.manifest(model_id))


def job_mark(job: JobEntry | JobFacts) -> str:
    """What tells a job from another that a reorganization gave its number: who wants what."""
    return f"{job.requester.lower()} {job.model_id.hex()[:16]} {job.input_digest.hex()[:16]}"


def shape_of(manifest: AnyManifest) -> ModelShape:
    """What the planner knows of a model. Beside a block's rows, its border is crossed by the answer: a digest for each border behind it."""
    blocks = manifest.blocks
    crossing = [b.out_bytes + DIGEST_BYTES * (len(blocks) - 1 - at) for at, b in enumerate(blocks)]
    return ModelShape(tuple(b.held_bytes for b in blocks), tuple(b.work for b in blocks), tuple(crossing))
