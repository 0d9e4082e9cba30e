"""A real swarm of six unlike workers on shaped links: the planned placement against an even split, measured in tokens per second.

Nodes differ in threads, SIMD level, kernel, memory and link. Where namespaces are allowed each lives in one of its own, behind the kernel's
token bucket and a delay proxy (`_hosts`); else, or with `OSTRAKA_BENCH=proxies`, a proxy before each is the token bucket, too. First an
even split over all six serves, then what the planner (`latency`) makes of what nodes have measured: both in turn, twice. How fast each will
be is foretold before it runs, from heartbeats alone: at first from each node's trial, then from what its blocks have shown.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks._hosts import Hosts, SpreadNetwork
from ostraka.types import BlockSpan, NodeId

MODEL = "smollm2-135m-instruct"
PROMPT = "Explain how a sailing ship can travel against the wind."
TOKENS, REPEATS, ROUNDS = 48, 3, 2
PATIENCE_S = 120.0
Spans = Mapping[NodeId, BlockSpan]


def run() -> dict[str, Any]:
    from ostraka.cli.devnet import cache_folder
    from ostraka.devnet.network import Devnet
    from ostraka.devnet.spec import DevnetSpec
    from ostraka.errors import Unavailable

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostraka-placement-")))
        # The orchestrator places nobody by itself here: both placements are made below, by the planner's own functions.
        spec = DevnetSpec(folder=folder, cache=cache_folder(), nodes=six_nodes(), settle_s=1e9, rebalance_s=1e9)
        try:
            if os.environ.get("OSTRAKA_BENCH") == "proxies":
                raise Unavailable("OSTRAKA_BENCH=proxies")
            hosts = stack.enter_context(Hosts([node.mbit for node in spec.nodes]))
            network: Devnet = SpreadNetwork(spec, hosts)
            shaping = "namespaces"
        except Unavailable as error:
            print(f"{error}; proxies shape the links", file=sys.stderr)
            network, shaping = Devnet(spec), "proxies"
        network._await_nodes = lambda: None  # type: ignore[method-assign]
        return {"shaping": shaping, **measure(stack.enter_context(network))}


def six_nodes() -> Any:
    from ostraka.devnet.spec import NodeSpec

    return (
        NodeSpec(memory_mb=60, threads=1, simd="avx2", latency_ms=4, mbit=100),
        NodeSpec(memory_mb=90, threads=1, simd="default", kernel="fp32", twins=False, latency_ms=2, mbit=50),
        NodeSpec(memory_mb=110, threads=2, simd="avx512", latency_ms=5, mbit=50),
        NodeSpec(memory_mb=80, threads=1, simd="avx2", twins=False, latency_ms=15, mbit=10),
        NodeSpec(memory_mb=120, threads=2, simd="avx512", kernel="fp32", latency_ms=3, mbit=20),
        NodeSpec(memory_mb=70, threads=1, simd="avx512", latency_ms=25, mbit=5),
    )


def measure(network: Any) -> dict[str, Any]:
    from ostraka.client import Client
    from ostraka_orchestrator.board import open_board

    board = open_board(network.queue_url, network.market, network.orchestrators[0].address)
    await_true(lambda: links_known(board, len(network.nodes)))
    model_id = bytes(network.market.published_models()[0].model_id)
    shape = shape_of_model(network, model_id)
    rounds: list[dict[str, Any]] = []
    with Client(network.profile) as client:
        for _ in range(ROUNDS):
            even = even_split(shape, sorted(board.heartbeats()))
            done: dict[str, Any] = {}
            for kind in ("even", "planned"):
                costs = costs_now(board, shape)
                spans = even if kind == "even" else planned(costs)
                serve(board, model_id, spans)
                # Foretold before it runs; for an even split from what was measured on other spans, too.
                foretold, measured = 1 / seconds(costs, spans), median(rate(client) for _ in range(REPEATS))
                done[kind] = {
                    "tokens_per_s": measured,
                    "predicted_tokens_per_s": foretold,
                    "predicted_vs_measured": foretold / measured,
                    "stages": {int(i): [s.start, s.stop] for i, s in spans.items()},
                }
            rounds.append(done)
    planned_rate, even_rate = (median(r[kind]["tokens_per_s"] for r in rounds) for kind in ("planned", "even"))
    return {
        "rounds": rounds,
        "planned_tokens_per_s": planned_rate,
        "even_tokens_per_s": even_rate,
        "planned_vs_even": planned_rate / even_rate,
        "predicted_vs_measured": [r["planned"]["predicted_vs_measured"] for r in rounds],
        "predicted_vs_measured_even": [r["even"]["predicted_vs_measured"] for r in rounds],
        "furthest_off": max(abs(r[kind]["predicted_vs_measured"] - 1) for r in rounds for kind in r),
        "cores": os.cpu_count(),
    }


def shape_of_model(network: Any, model_id: bytes) -> Any:
    from ostraka.model import MAX_MANIFEST_BYTES, load_manifest
    from ostraka.store import cid_of_digest, open_store
    from ostraka_orchestrator.desk import shape_of

    data = open_store(network.store_url).get(cid_of_digest(model_id), max_bytes=MAX_MANIFEST_BYTES)
    return shape_of(load_manifest(data))


def links_known(board: Any, nodes: int) -> bool:
    beats = board.heartbeats()
    return len(beats) == nodes and all(len(beat.links) == nodes - 1 for beat in beats.values())


def even_split(shape: Any, node_ids: list[int]) -> Spans:
    count = len(node_ids)
    borders = [shape.blocks * k // count for k in range(count + 1)]
    return {NodeId(i): BlockSpan(borders[k], borders[k + 1]) for k, i in enumerate(node_ids)}


def costs_now(board: Any, shape: Any) -> Any:
    from ostraka_orchestrator.planner import Costs, Ends
    from ostraka_orchestrator.roster import connect, profile

    beats = board.heartbeats()
    # One request at a time: who is busy now is busy with what was measured last.
    idle = {i: msgspec.structs.replace(beat, busy=0) for i, beat in beats.items()}
    nodes, links, home = connect([profile(idle[i], f"operator{i}") for i in sorted(idle)], idle)
    return Costs(shape, tuple(nodes), links, Ends(region=home))


def planned(costs: Any) -> Spans:
    from ostraka_orchestrator.placing import Swarm, deal_out

    places = deal_out({b"model": Swarm(costs.shape)}, costs.nodes, "latency", costs.links)
    chain, at = {}, 0
    while at < costs.shape.blocks:  # the first chain; nodes left over may have joined it
        node, place = next((i, p) for i, p in places.items() if p.span.start == at)
        chain[node] = place.span
        at = place.span.stop
    return chain


def seconds(costs: Any, spans: Spans) -> float:
    index = {n.node_id: k for k, n in enumerate(costs.nodes)}
    chosen = [index[i] for i, span in sorted(spans.items(), key=lambda s: s[1]) for _ in range(len(span))]
    return float(costs.seconds(chosen))


def serve(board: Any, model_id: bytes, spans: Spans) -> None:
    """Has exactly these nodes serve; those that are not named keep blocks that no route of these can use."""
    for node_id, span in spans.items():
        board.set_placement(node_id, model_id.hex(), span.start, span.stop)
    due = {i: (model_id.hex(), s.start, s.stop) for i, s in spans.items()}
    await_true(lambda: all((b := board.heartbeats().get(i)) is not None and b.span == span for i, span in due.items()))


def rate(client: Any) -> float:
    """Tokens per second of one request's decoding, as its lead measured it."""
    answer = client.generate(MODEL, PROMPT, replicas=1, max_tokens=TOKENS, max_price=1.0)
    count = len(list(answer)) and len(answer.tokens)
    return (count - 1) / float(answer.replicas[0]["decode_seconds"])


def await_true(check: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > end:
            raise TimeoutError("the swarm did not come to serve what it was told to")
        time.sleep(0.5)
