"""Discrete events: requests, nodes that come, load, move, slow down and go. Places, moves and routes are production's
(`deal_out`, `rebalance`, `draw_paths`); when they are asked for is this file's.

Not so is what production's `mend` has beside `rebalance`: it counts disjoint chains, of which requests of one replica need no second.

A request waits its turn on each node of its route, then has the node to itself: a node is a queue that is known by the time at which it
will be free. If the node dies first, the request begins anew once that is noticed. A node that is to move takes no more requests, ends
those it has, and serves again when its blocks have come.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from math import exp, inf

import numpy as np

from ostraka.errors import NoRoute
from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.placing import Place, Swarm, deal_out
from ostraka_orchestrator.planner import (
    Move,
    NodeProfile,
    Router,
    draw_paths,
    head_starts,
    jain,
    move_to,
    rebalance,
    swarm_flow,
)
from ostraka_orchestrator.planner.flow import covered, greatest_flow, pipes
from ostraka_orchestrator.simulate.report import Report
from ostraka_orchestrator.simulate.world import World

MODEL = b"model"
RETRY_S = 2.0  # a request that finds no chain comes back after so long


@dataclass
class _Node:
    profile: NodeProfile  # its span is what it serves now
    born_s: float
    free_s: float = 0.0
    died_s: float = inf
    target: BlockSpan | None = None  # what it loads
    recent: float = 0.0  # multiply–adds, new ones counting more
    done: float = 0.0  # multiply–adds of ended stages
    served_s: float = 0.0  # when it began to serve


@dataclass
class _Request:
    region: int
    begun_s: float
    route: tuple[int, ...] = ()  # keys of nodes
    work: tuple[float, ...] = ()  # multiply–adds a position on each
    borders: tuple[int, ...] = ()  # where each one's span stops
    at: int = 0


@dataclass
class _Run:
    world: World
    report: Report = field(default_factory=Report)
    now: float = 0.0
    nodes: dict[int, _Node] = field(default_factory=dict)  # that ever came
    done_positions: int = 0
    fetched: int = 0  # bytes
    epoch_s: float = 0.0  # when new work counted as itself

    def __post_init__(self) -> None:
        world = self.world
        self._rng = random.Random(world.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._number = count(1)
        self._draws = count()  # each route's seed
        self.shape, self.links = world.shape, world.links()
        self._spans: Counter[tuple[int, int]] = Counter()  # how many serve each span
        self._covered = False
        self._router: Router | None = None
        self._keys: list[int] = []
        self._away: set[int] = set()  # indices of the router that serve no more
        self._place: dict[int, int] = {}

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._serial), event))

    def run(self) -> Report:
        world, report = self.world, self.report
        first = [world.node(next(self._number), self._rng) for _ in range(world.nodes)]
        spans = _spans(deal_out({MODEL: Swarm(self.shape)}, first, "throughput", self.links))
        report.offered = world.demand * swarm_flow(self.shape, first, spans)
        for profile in first:
            self.nodes[profile.node_id] = _Node(profile, 0.0)
            if profile.node_id in spans:
                self._serve(profile.node_id, spans[profile.node_id])
        if report.offered == 0:
            raise ValueError("the swarm's memory does not hold the model; give it more nodes")
        self._schedule()
        while self._events and self._events[0][0] <= world.seconds:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self._finish()
        return report

    def _schedule(self) -> None:
        world = self.world
        self._next_request()
        self.at(world.sample_s, self._sample)
        self.at(world.plan_every_s, self._plan)
        if world.leave_share or world.slow_share:
            self.report.hit_at_s = world.hit_at_s
            self.at(world.hit_at_s, self._hit)
        if world.life_s:
            for key in list(self.nodes):
                self._live(key)
            self._next_newcomer()

    # ── nodes ──

    def _live(self, key: int) -> None:
        self.at(self.now + self._rng.expovariate(1 / self.world.life_s), lambda: self._leave(key))

    def _next_newcomer(self) -> None:
        self.at(self.now + self._rng.expovariate(self.world.nodes / self.world.life_s), self._come)

    def _come(self) -> None:
        profile = self.world.node(next(self._number), self._rng)
        self.nodes[profile.node_id] = _Node(profile, self.now)
        self._live(profile.node_id)
        self._next_newcomer()

    def _leave(self, key: int) -> None:
        node = self.nodes[key]
        if node.died_s == inf:
            self._stop(key)
            node.died_s, node.target = self.now, None

    def _hit(self) -> None:
        """Some nodes leave, and some of the others slow down."""
        alive = sorted(k for k, n in self.nodes.items() if n.died_s == inf)
        self._rng.shuffle(alive)
        if self.world.hit_by == "region":
            alive.sort(key=lambda k: self.nodes[k].profile.region)
        elif self.world.hit_by == "span":
            alive.sort(key=lambda k: -span.start if (span := self.nodes[k].profile.span) else 0)
        leave, slow = (round(share * len(alive)) for share in (self.world.leave_share, self.world.slow_share))
        for key in alive[:leave]:
            self._leave(key)
        for key in alive[leave : leave + slow]:
            node = self.nodes[key]
            node.profile = replace(node.profile, speed=node.profile.speed / self.world.slow_by)
        self._router = None

    def _serve(self, key: int, span: BlockSpan) -> None:
        node = self.nodes[key]
        node.profile, node.target, node.served_s = replace(node.profile, span=span), None, self.now
        if not node.recent and self.now:
            node.recent = self._head_start(node)
        self._spans[span.start, span.stop] += 1
        self._covered = self._covered or covered(self.shape.blocks, +self._spans)
        self._router = None

    def _head_start(self, node: _Node) -> float:
        serving = {k: n for k, n in self.nodes.items() if n.died_s == inf and (n.profile.span or n is node)}
        profiles = [n.profile for n in serving.values()]
        served = {n.profile.node_id: n.recent for n in serving.values()}
        return head_starts(profiles, served).get(node.profile.node_id, 0.0)

    def _stop(self, key: int) -> None:
        node = self.nodes[key]
        span = node.profile.span
        if span is None:
            return
        node.profile = replace(node.profile, span=None)
        self._spans[span.start, span.stop] -= 1
        if key in self._place:
            self._away.add(self._place[key])
        if self._covered and not covered(self.shape.blocks, +self._spans):
            self._covered = False
            self.report.coverage_breaks += 1

    def _plan(self) -> None:
        world, report = self.world, self.report
        self.at(self.now + world.plan_every_s, self._plan)
        if not world.move:
            return
        alive = [(k, n) for k, n in self.nodes.items() if n.died_s == inf]
        settled = [n.profile for _, n in alive if n.target is None]
        loading = [replace(n.profile, span=n.target) for _, n in alive if n.target is not None]
        for move in self._moves(settled, loading):
            node = self.nodes[move.node_id]
            if node.profile.span is None:
                report.placed_newcomers += 1
            else:
                report.moves += 1
                report.moved_bytes += move.bytes_
            self.fetched += move.bytes_
            self._stop(move.node_id)
            node.target = move.span
            ready = max(self.now + move.bytes_ / world.download, node.free_s)
            self.at(ready, lambda key=move.node_id, span=move.span: self._loaded(key, span))  # type: ignore[misc]

    def _moves(self, settled: list[NodeProfile], loading: list[NodeProfile]) -> list[Move]:
        """Places for newcomers, and moves of those who serve."""
        serving, waiting = ([n for n in settled if (n.span is None) == new] for new in (False, True))
        swarm = Swarm(self.shape, tuple(serving), tuple(loading))
        spans = _spans(deal_out({MODEL: swarm}, waiting, "throughput", self.links)) if waiting else {}
        placed = [n for n in waiting if n.node_id in spans]
        loading = [*loading, *(replace(n, span=spans[n.node_id]) for n in placed)]
        return [
            *(move_to(self.shape, n, spans[n.node_id]) for n in placed),
            *rebalance(self.shape, serving, self.world.patience, loading),
        ]

    def _loaded(self, key: NodeId, span: BlockSpan) -> None:
        if self.nodes[key].died_s == inf and self.nodes[key].target == span:
            self._serve(key, span)

    # ── requests ──

    def _next_request(self) -> None:
        rate = self.report.offered / self.world.positions
        self.at(self.now + self._rng.expovariate(rate), self._request)

    def _request(self) -> None:
        self.report.requests += 1
        self._route(_Request(self._rng.randrange(self.world.regions), self.now))
        self._next_request()

    def _routing(self) -> Router:
        if self._router is None:
            self._keys = [k for k, n in self.nodes.items() if n.profile.span is not None]
            self._place = {key: i for i, key in enumerate(self._keys)}
            profiles = tuple(self.nodes[k].profile for k in self._keys)
            self._router = Router(self.shape, profiles, self.links, self.world.fairness)
            self._away = set()
            self._free = np.array([self.nodes[k].free_s for k in self._keys])
            self._recent = np.array([self.nodes[k].recent for k in self._keys])
            self._each = self._router.work * self.world.positions / np.array([p.speed for p in profiles])
        return self._router

    def _route(self, request: _Request) -> None:
        router = self._routing()
        load = np.maximum(self._free - self.now, 0.0) / self._each
        draw = next(self._draws).to_bytes(32, "big")
        try:
            (path,) = draw_paths(router, 1, draw, request.region, served=self._recent, load=load, without=self._away)
        except NoRoute:
            self.report.refused += 1
            self.at(self.now + RETRY_S, lambda: self._route(request))
            return
        chosen = [router.nodes[i] for i in path.chosen]
        request.route, request.at = tuple(self._keys[i] for i in path.chosen), 0
        request.work = tuple(float(router.work[i]) for i in path.chosen)
        request.borders = tuple(n.span.stop for n in chosen if n.span is not None)
        self._queue(request, self.now + float(self.links.latency_s[request.region, chosen[0].region]))

    def _queue(self, request: _Request, arrival: float) -> None:
        """Takes the request's place on its next node. A node that moves away still ends what it has begun to take."""
        key = request.route[request.at]
        node = self.nodes[key]
        if node.died_s < inf:
            self._again(request, node)
            return
        work = self.world.positions * request.work[request.at]
        node.free_s = max(arrival, node.free_s) + work / node.profile.speed
        # Work counts less as it ages: instead of ageing all, new work counts more.
        node.recent += work * exp((self.now - self.epoch_s) / self.world.memory_s)
        if self._router is not None and key in self._place:
            at = self._place[key]
            self._free[at], self._recent[at] = node.free_s, node.recent
        self.at(node.free_s, lambda: self._ended(request, node, work))

    def _ended(self, request: _Request, node: _Node, work: float) -> None:
        if node.died_s <= self.now:
            self._again(request, node)
            return
        node.done += work
        border = request.borders[request.at]
        request.at += 1
        last = request.at == len(request.route)
        to = request.region if last else self.nodes[request.route[request.at]].profile.region
        size = self.world.positions * self.shape.out_bytes[border - 1]
        arrival = self.now + self.links.seconds(node.profile.region, to, size)
        if last:
            self.done_positions += self.world.positions
            self.report.latency_s.append(arrival - request.begun_s)
        else:
            self._queue(request, arrival)

    def _again(self, request: _Request, dead: _Node) -> None:
        self.report.restarted += 1
        self.at(max(self.now, dead.died_s + self.world.notice_s), lambda: self._route(request))

    # ── what is seen ──

    def _sample(self) -> None:
        world, report = self.world, self.report
        self.at(self.now + world.sample_s, self._sample)
        alive = [n for n in self.nodes.values() if n.died_s == inf]
        report.time_s.append(self.now)
        report.served.append(self.done_positions / world.sample_s)
        report.carries.append(greatest_flow(world.blocks, pipes(self.shape, (n.profile for n in alive))))
        report.alive.append(len(alive))
        report.loading.append(sum(n.target is not None for n in alive))
        report.moved_gb.append(self.fetched / 1e9)
        self.done_positions = 0
        if self.now - self.epoch_s > 20 * world.memory_s:
            self._age()

    def _age(self) -> None:
        factor = exp(-(self.now - self.epoch_s) / self.world.memory_s)
        for node in self.nodes.values():
            node.recent *= factor
        self.epoch_s, self._router = self.now, None

    def _finish(self) -> None:
        """Fairness: work for speed × stake × time, among nodes that served through at least the second half."""
        long = [n for n in self.nodes.values() if n.died_s == inf and n.profile.span and n.served_s <= self.now / 2]
        self.report.jain = jain([n.done / (n.profile.speed * n.profile.stake * (self.now - n.born_s)) for n in long])


def _spans(places: Mapping[NodeId, Place]) -> dict[NodeId, BlockSpan]:
    return {node_id: place.span for node_id, place in places.items()}


def simulate(world: World) -> Report:
    """Raises `ValueError` where the first placement does not cover the model."""
    return _Run(world).run()
