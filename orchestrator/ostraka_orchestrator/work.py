"""The work behind the tasks: matching, running a replica, settling, blaming. Each call may come twice and acts once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ostraka.chain.court_views import dispute_id
from ostraka.chain.job_log import JobFacts
from ostraka.chain.orchestrators import ANYBODY
from ostraka.client.cases import advance
from ostraka.client.traces import fetch_trace
from ostraka.crypto.eip712 import assignment_message, sign
from ostraka.crypto.trace import Digests, first_divergence, token_words, words_digest
from ostraka.errors import NoRoute, OstrakaError, PeerFault, TransactionFailed
from ostraka.telemetry import span
from ostraka.types import Assignment, BlockSpan, JobId, JobState, NodeId, NodeStatus, Stage
from ostraka.wire.grpc_transport import BlockingPeer
from ostraka.wire.messages import Done, Route, Run, Token
from ostraka_orchestrator.board import Heartbeat, PlannedReplica
from ostraka_orchestrator.decide import next_replicas
from ostraka_orchestrator.desk import Desk, log
from ostraka_orchestrator.orders import is_due, is_forgotten, look
from ostraka_orchestrator.planner import Costs, Ends, NodeProfile, choose_routes, head_starts, timing, weighed
from ostraka_orchestrator.queue import RUN_TIMEOUT_S
from ostraka_orchestrator.roster import profile

CONNECT_TIMEOUT_S = 2.0
TOKENS_TIMED = 8  # a shorter answer says too little about a position


def serving_nodes(desk: Desk, model_id: bytes, beats: Mapping[int, Heartbeat], positions: int = 0) -> list[NodeProfile]:
    """Nodes that beat, serve this model, have room for so many positions, are active on chain and whose operators have stake enough."""
    found = []
    placements = desk.board.placements(beats)
    for beat in beats.values():
        if beat.span is None or beat.span[0] != model_id.hex() or placements.get(beat.node_id, beat.span) != beat.span:
            continue  # one that should move gets no more work: it moves once it has none
        if beat.positions_left < positions:
            continue
        node = desk.node(beat.node_id)
        if node.status is NodeStatus.ACTIVE and desk.is_bonded(node.operator, model_id):
            found.append(profile(beat, node.operator, desk.stake_units(node.operator)))
    return found


def match(desk: Desk, job_id: int) -> bool:
    """Plans and signs. False while there is no way yet: the service asks again until the job's deadline."""
    if desk.board.is_planned(job_id, 0):
        return True
    job = desk.market.job_facts(job_id)
    seed = desk.market.block_hash(job.block_number + 1)  # a chain block that nobody knew when the job was submitted
    if seed is None or job.state is not JobState.OPEN:
        return False
    # Asked after the plan was looked for: a board that is lost in between has not begun yet, or later than the job.
    if desk.has_stake() and not may_sign(desk.board.born(), job.block_number):
        log.warning("job %d is older than this board: it may have been signed before, so it is left to others", job_id)
        return False
    beats = desk.board.heartbeats()
    nodes = serving_nodes(desk, job.model_id, beats, job.max_units)
    try:
        routes = plan_routes(desk, job, job.replicas, seed, nodes, beats)
    except NoRoute as error:
        desk.board.tell(job_id, {"type": "waiting", "message": str(error)})
        return False
    endpoint = {n.node_id: n.endpoint for n in nodes}
    plan = [sign_route(desk, job_id, replica, stages, endpoint) for replica, stages in enumerate(routes)]
    if desk.board.put_plan(job_id, plan):
        desk.board.tell(job_id, {"type": "matched", "routes": [p.stages for p in plan]})
    return True


def plan_routes(
    desk: Desk, job: JobFacts, replicas: int, seed: bytes, nodes: Sequence[NodeProfile], beats: Mapping[int, Heartbeat]
) -> list[tuple[Stage, ...]]:
    """Routes for so many replicas over nodes at which nothing failed of late; over all where these do not suffice. Raises `NoRoute`."""
    if resting := desk.board.resting([int(n.node_id) for n in nodes]):
        with suppress(NoRoute):
            return _routes(desk, job, replicas, seed, [n for n in nodes if n.node_id not in resting], beats)
    return _routes(desk, job, replicas, seed, nodes, beats)


def _routes(
    desk: Desk, job: JobFacts, replicas: int, seed: bytes, nodes: Sequence[NodeProfile], beats: Mapping[int, Heartbeat]
) -> list[tuple[Stage, ...]]:
    placed, links, home = desk.ways[job.model_id].connect(nodes, beats)
    placed, links = weighed(placed, links, desk.weights(job.model_id))
    return choose_routes(desk.shape(job.model_id), placed, replicas, seed, links, home, _had(desk, placed))


def _had(desk: Desk, nodes: Sequence[NodeProfile]) -> dict[NodeId, float]:
    """Work that each node has had of late, with the head start that it was given when it came."""
    served, given = desk.board.served(), desk.board.head_starts()
    had = {n.node_id: served.get(n.node_id, 0.0) + given.get(n.node_id, 0.0) for n in nodes}
    fresh = head_starts(nodes, had)
    desk.board.give_head_starts(fresh)
    return had | fresh


def sign_route(
    desk: Desk, job_id: int, replica: int, stages: Sequence[Stage], endpoint: Mapping[NodeId, str], number: int = 0
) -> PlannedReplica:
    """A replica's assignment under the orchestrator's signature, in round `number` of its job."""
    assignment = Assignment(JobId(job_id), replica, tuple(stages))
    signature = sign(desk.sender.key.secret, assignment_message(desk.market.domain, assignment))
    rows = [(int(s.node_id), s.start, s.stop, s.work_bps) for s in stages]
    return PlannedReplica(rows, [endpoint[s.node_id] for s in stages], signature, number)


def may_sign(born: int | None, job_block: int) -> bool:
    """Whether a board that began with the chain block `born` knows all that was ever signed for a job of `job_block`.

    Two different assignments for one replica are an offence, whatever became of the first.
    """
    return born is not None and job_block >= born


def order(desk: Desk, epoch: int) -> None:
    """Asks for the seed of an epoch's order, or draws it."""
    market, seen = desk.market, look(desk.market, epoch)
    block = market.block_number()
    if is_due(seen, block):
        forgotten = is_forgotten(seen, block, market.seed_lifetime())
        call = market.ask_order(epoch) if forgotten else market.draw_order(epoch)
        try:
            desk.sender.send(call)
        except TransactionFailed as error:
            log.info("order of epoch %d: not taken: %s", epoch, error)


def generates(desk: Desk, job_id: int) -> bool:
    """Whether the job is answered token by token."""
    return desk.generates(desk.market.job_facts(job_id).model_id)


def first_replicas(desk: Desk, job_id: int) -> list[tuple[int, list[int] | None]]:
    """Those to start once a job is planned."""
    return next_replicas(len(desk.board.plan(job_id) or ()), {}, generates(desk, job_id))


def run_replica(
    desk: Desk, job_id: int, replica: int, claimed: list[int] | None, number: int, tried: int = 0
) -> list[int] | None:
    """Runs one replica through its lead, in round `number` of its job, in which it failed `tried` times before.

    Returns its tokens; None when it failed, which the requester is told.
    """
    plan, data = desk.board.plan(job_id), desk.board.input(job_id)
    known = desk.board.replicas(job_id, number).get(replica)
    if plan is None or data is None or is_anothers(desk, job_id):
        return None
    if known is not None and known.get("tries") != tried:  # this try is over
        return list(known["tokens"]) if "tokens" in known else None
    planned = _where_they_are(desk, plan[replica]) if tried else plan[replica]
    job = desk.market.job_facts(job_id)
    route = Route(job_id, replica, planned.stages, planned.signature, planned.endpoints, job.model_id)
    peer = BlockingPeer(planned.endpoints[0])
    try:
        for event in peer.stream(Run(os.urandom(32), route, data, claimed), Token | Done, RUN_TIMEOUT_S):
            if isinstance(event, Token):
                if claimed is None:
                    told = {"type": "token", "replica": replica, "index": event.index, "token": event.token}
                    desk.board.tell(job_id, told)
            else:
                _replica_done(desk, job_id, replica, planned, event, job.model_id, claimed)
                return list(event.tokens)
        raise PeerFault("the lead ended the stream without a result")
    except OstrakaError as error:
        desk.market.look_again()
        if is_anothers(desk, job_id):  # which came first; nobody is to blame
            log.info("job %d replica %d: the job is bound to another orchestrator: %s", job_id, replica, error)
            return None
        log.warning("job %d replica %d failed: %s", job_id, replica, error)
        end = {"error": str(error), "stages": planned.stages, "tries": tried + 1}
        desk.board.put_failure(job_id, replica, number, end)
        _forget_dead(desk, planned)
        desk.board.tell(job_id, {"type": "replica_failed", "replica": replica, "message": str(error)})
        return None
    finally:
        peer.close()


def _where_they_are(desk: Desk, planned: PlannedReplica) -> PlannedReplica:
    """A route whose nodes may have been started anew elsewhere."""
    beats = desk.board.heartbeats()
    known = zip(planned.nodes, planned.endpoints, strict=True)
    return msgspec.structs.replace(planned, endpoints=[beats[n].endpoint if n in beats else at for n, at in known])


def is_anothers(desk: Desk, job_id: int) -> bool:
    """Whether the job is bound to another orchestrator: by name, or by a first commit that another one signed for."""
    return desk.market.job_facts(job_id).orchestrator not in (desk.sender.address, ANYBODY)


def _forget_dead(desk: Desk, planned: PlannedReplica) -> None:
    """A node that takes no connection gets no more work until it beats again; its last heartbeat would keep it listed.

    Such nodes are to blame for a replica that failed; where there are none, all of the route may be, and rest.
    """
    dead = []
    for (node_id, *_), endpoint in zip(planned.stages, planned.endpoints, strict=True):
        host, _, port = endpoint.rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
        except OSError:
            log.warning("node %d at %s takes no connection; no work for it until it beats again", node_id, endpoint)
            desk.board.forget(node_id)
            dead.append(node_id)
    desk.board.strike(dead or [node_id for node_id, *_ in planned.stages])


def _replica_done(
    desk: Desk,
    job_id: int,
    replica: int,
    planned: PlannedReplica,
    done: Done,
    model_id: bytes,
    claimed: list[int] | None,
) -> None:
    receipts = [
        {
            "stage": r.stage,
            "node_id": r.node_id,
            "start": r.start,
            "stop": r.stop,
            "units": r.units,
            "input": r.input.hex(),
            "output": r.output.hex(),
            "signature": r.signature.hex(),
            "countersignature": r.countersignature.hex(),
        }
        for r in done.receipts
    ]
    value = {
        "tokens": done.tokens,
        "units": done.units,
        "receipts": receipts,
        "stages": planned.stages,
        "seconds": done.seconds,
        "decode_seconds": done.decode_seconds,
        "bytes_sent": done.bytes_sent,
    }
    if done.outputs:
        desk.board.put_outputs(job_id, replica, done.outputs)  # before the rest, which says that it is done
    desk.board.put_replica(job_id, replica, value)
    desk.board.absolve([node_id for node_id, *_ in planned.stages])
    shape = desk.shape(model_id)
    for node_id, start, stop, _ in planned.stages:
        desk.board.add_served(node_id, float(done.units * shape.span_work(BlockSpan(start, stop))))
    if claimed is None and len(done.tokens) >= TOKENS_TIMED:
        _record_timing(desk, model_id, planned, done.decode_seconds / (len(done.tokens) - 1))
    desk.board.tell(job_id, {"type": "committed", "replica": replica, "units": done.units})


def _record_timing(desk: Desk, model_id: bytes, planned: PlannedReplica, took_s: float) -> None:
    """Seconds a position, beside what plain weights would have said of this route."""
    beats = desk.board.heartbeats()
    nodes, links, home = desk.ways[model_id].connect(serving_nodes(desk, model_id, beats), beats)
    index = {int(n.node_id): at for at, n in enumerate(nodes)}
    if all(node_id in index for node_id, *_ in planned.stages):
        costs = Costs(desk.shape(model_id), tuple(nodes), links, Ends(region=home))
        chosen = [index[node_id] for node_id, start, stop, _ in planned.stages for _ in range(start, stop)]
        desk.board.add_timing(model_id, timing(costs, chosen, took_s))


def settle(desk: Desk, job_id: int) -> None:
    """Calls `finalize`. Too early is no fault: the service comes back."""
    if len(desk.market.reveals(job_id)) < desk.market.job_facts(job_id).replicas:
        desk.market.look_again()
    job = desk.market.job_facts(job_id)
    if job.state.closed or job.state.agreed:
        return
    if is_anothers(desk, job_id):
        adopt_answer(desk, job_id)
    plan = desk.board.plan(job_id) or []
    known = {replica: [Stage(NodeId(n), *rest) for n, *rest in p.stages] for replica, p in enumerate(plan)}
    # Once all have revealed it is settled by whoever comes first, and nobody else is paid for it.
    whole = len(desk.market.reveals(job_id)) == job.replicas
    send_call(desk, job_id, "finalize", desk.market.finalize(job_id, known), sure=whole)


def adopt_answer(desk: Desk, job_id: int) -> None:
    """Of a job whose orchestrator died: its tokens, from the nodes that made them, so that the requester finds them here.

    An inference's outputs are kept by nobody else; their digest is on chain.
    """
    for replica, seen in desk.market.reveals(job_id).items():
        if "tokens" in desk.board.replicas(job_id).get(replica, {}):
            continue
        try:
            tokens = fetch_trace(desk.market, job_id, replica).tokens
        except OstrakaError as error:
            log.info("job %d replica %d: its answer is not to be had: %s", job_id, replica, error)
            continue
        if tokens and words_digest(token_words(tokens)) == seen.output_digest:
            desk.board.put_replica(job_id, replica, {"tokens": list(tokens), "units": seen.units})


def expire(desk: Desk, job_id: int) -> None:
    if not desk.market.job(JobId(job_id)).state.closed:
        send_call(desk, job_id, "expire", desk.market.expire(job_id))


def conclude(desk: Desk, job_id: int, replica: int) -> None:
    if desk.market.job(JobId(job_id)).state.judgeable:
        send_call(desk, job_id, "conclude", desk.market.conclude(job_id, replica))


def judge(desk: Desk, job_id: int, replica: int) -> None:
    advance(desk.market, desk.sender, dispute_id(job_id, replica), desk.market.jury_rules())


def blame(desk: Desk, job_id: int, replica: int) -> None:
    """Finds the first difference between the outvoted trace and an agreed one, and shows it to the contract."""
    job = desk.market.job(JobId(job_id))
    if not job.state.judgeable:
        return
    if desk.market.now() >= job.challenge_deadline:
        send_call(desk, job_id, "forfeit", desk.market.forfeit(job_id, replica))
        return
    revealed = desk.market.reveals(job_id)
    winner = next(r for r, seen in sorted(revealed.items()) if seen.result_hash == job.result_hash)
    manifest = desk.manifest(job.model_id)
    traces: dict[int, Digests] = {}
    for who in (replica, winner):
        traces[who] = _trace(desk, job_id, who)
    divergence = first_divergence(traces[replica], traces[winner], job.model_id, job.input_digest)
    if divergence is not None:
        log.info(
            "job %d: replica %d first differs at position %d, border %d of %d",
            *(job_id, replica, divergence.position, divergence.border, len(manifest.blocks)),
        )
    call = desk.market.pinpoint(job_id, replica, winner, revealed, divergence)
    send_call(desk, job_id, "pinpoint", call)


def _trace(desk: Desk, job_id: int, replica: int) -> Digests:
    plan = desk.board.plan(job_id)
    return fetch_trace(desk.market, job_id, replica, plan[replica].endpoints if plan else ()).digests


def send_call(desk: Desk, job_id: int, operation: str, call: Any, *, sure: bool = False) -> bool:
    """Whether it was taken.

    A refusal usually means that somebody was faster, or that it is too early: both are told by the chain's state.
    """
    try:
        with span(desk.market.domain, job_id, operation):
            desk.sender.send(call, sure=sure)
        return True
    except TransactionFailed as error:
        log.info("job %d: %s not taken: %s", job_id, operation, error)
        return False
