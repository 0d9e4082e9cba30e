"""Placement as it happens: reads the board, asks `placing` what to do, writes placements for nodes to find at their next heartbeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log2

from ostraka.errors import OstrakaError
from ostraka.types import BlockSpan, NodeId, NodeStatus
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.desk import Desk, log
from ostraka_orchestrator.placing import Place, Swarm, deal_out, mend
from ostraka_orchestrator.planner import NodeProfile, Timing, tune
from ostraka_orchestrator.roster import connect, profile
from ostraka_orchestrator.state import State

LOOK_S = 0.5  # nodes do not come and go by the tick
LINKS_WAIT_S = 20.0  # placement by latency waits so long for nodes to measure their links to each other


@dataclass
class Placer:
    desk: Desk
    _waiting: frozenset[int] = frozenset()
    _since: float = 0.0
    _timings: dict[bytes, tuple[Timing, ...]] = field(default_factory=dict)
    _looked: float = float("-inf")
    _mend_at: float = 0.0
    _heard: dict[int, tuple[float, Heartbeat]] = field(default_factory=dict)  # when a node that serves beat last
    _seen: frozenset[tuple[int, tuple[str, int, int] | None, int]] = frozenset()

    def look(self, state: State, now: float) -> None:
        """`now` is a monotonic clock's. Placing newcomers comes before moving anybody."""
        if now - self._looked < LOOK_S:
            return
        if self._looked == float("-inf"):
            self._mend_at = now + self.desk.config.rebalance_s  # nobody is moved before all have had time to beat
        self._looked = now
        beats = {i: b for i, b in self.desk.board.heartbeats().items() if _may_work(state, i)}
        self._heard |= {i: (now, b) for i, b in beats.items() if b.span is not None}
        if not beats or not state.models:
            return
        placements = self.desk.board.placements(beats)
        if not self._newcomers(state, beats, placements, now):
            self._mend(state, beats, now)

    def _newcomers(
        self, state: State, beats: Mapping[int, Heartbeat], placements: Mapping[int, tuple[str, int, int]], now: float
    ) -> bool:
        """Gives blocks to nodes that have none, once no more have come for a moment. True while some wait for that, or were just placed."""
        waiting = frozenset(i for i, b in beats.items() if b.span is None and i not in placements)
        if waiting != self._waiting:
            self._waiting, self._since = waiting, now
        if not waiting or now - self._since < self.desk.config.settle_placement_s:
            return bool(waiting)
        mode = self.desk.config.mode
        if mode == "latency" and not _measured(beats, waiting) and now - self._since < LINKS_WAIT_S:
            return True
        nodes, links, _ = connect([self._profile(state, beats[i]) for i in sorted(waiting)], beats)
        swarms = self._swarms(state, beats, placements)
        places = deal_out(swarms, nodes, mode, links, {model_id: self.desk.weights(model_id) for model_id in swarms})
        self._write(state, places)
        return bool(places)

    def _mend(self, state: State, beats: Mapping[int, Heartbeat], now: float) -> None:
        """Moves nodes where the swarm has changed since the last look, or runs at another speed, and it is worth it.

        A node that has been silent for less than the time between two looks counts as one that serves: it is being started again, and
        a move would take it longer than that.
        """
        if now < self._mend_at:
            return
        pause_s = self.desk.config.rebalance_s
        self._mend_at = now + pause_s
        self._learn(state)
        self._heard = {i: (at, b) for i, (at, b) in self._heard.items() if now - at < pause_s and _may_work(state, i)}
        beats = {**{i: b for i, (_, b) in self._heard.items()}, **beats}
        placements = self.desk.board.placements(beats)
        seen = frozenset((i, b.span, _pace(b)) for i, b in beats.items())
        if seen == self._seen:
            return
        self._seen = seen
        for model_id, swarm in self._swarms(state, beats, placements).items():
            if swarm.loading:
                continue  # it will look different in a moment
            moves = mend(swarm)
            self._write(state, {m.node_id: Place(model_id, m.span) for m in moves})
            self.desk.board.count_moves(len(moves), sum(m.bytes_ for m in moves))

    def _learn(self, state: State) -> None:
        """Weights for models that have been asked since the last time."""
        for model_id in state.models:
            timings = tuple(self.desk.board.timings(model_id))
            if timings != self._timings.get(model_id) and (weights := tune(timings)) is not None:
                self.desk.board.set_weights(model_id, weights)
                log.info("model %s: a second counts as %s", state.models[model_id].name, weights)
            self._timings[model_id] = timings

    def _swarms(
        self, state: State, beats: Mapping[int, Heartbeat], placements: Mapping[int, tuple[str, int, int]]
    ) -> dict[bytes, Swarm]:
        """Models whose manifest can be read, in the order of their publication, with the nodes placed on each."""
        found = {}
        for model_id in state.models:
            try:
                shape = self.desk.shape(model_id)
            except OstrakaError as error:
                log.warning("model %s cannot be placed: %s", state.models[model_id].name, error)
                continue
            serving, loading = [], []
            for i, beat in beats.items():
                due = placements.get(i, beat.span)
                if due is None or due[0] != model_id.hex():
                    continue
                node = self._profile(state, beat)
                if due == beat.span:
                    serving.append(node)
                else:
                    loading.append(replace(node, span=BlockSpan(due[1], due[2])))
            found[model_id] = Swarm(shape, tuple(serving), tuple(loading))
        return found

    def _profile(self, state: State, beat: Heartbeat) -> NodeProfile:
        return profile(beat, state.nodes[beat.node_id].operator)

    def _write(self, state: State, places: Mapping[NodeId, Place]) -> None:
        for node_id, place in places.items():
            self.desk.board.set_placement(node_id, place.model_id.hex(), place.span.start, place.span.stop)
            log.info("node %d: blocks %s of %s", node_id, place.span, state.models[place.model_id].name)


def _may_work(state: State, node_id: int) -> bool:
    """Others are refused by the chain, whether they claim or commit; a draining node counts again once it resumes."""
    return node_id in state.nodes and state.nodes[node_id].status in (NodeStatus.PENDING, NodeStatus.ACTIVE)


def _pace(beat: Heartbeat) -> int:
    """A node's speed in steps of 19 %: what is measured is never twice the same, and that is no reason to plan anew."""
    return round(4 * log2(max(beat.speed, 1.0)))


def _measured(beats: Mapping[int, Heartbeat], waiting: frozenset[int]) -> bool:
    """Every pair has been looked at from one side or the other."""
    known = {frozenset((i, peer)) for i in waiting for peer, _, _ in beats[i].links}
    return all(frozenset((a, b)) in known for a in waiting for b in waiting if a < b)
