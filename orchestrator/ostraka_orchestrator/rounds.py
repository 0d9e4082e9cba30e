"""Later rounds of a job: replicas that fell silent before the commit deadline are run by other nodes.

The market puts the deadline off first, then other routes are signed: one assignment of a replica in each round of its job is no offence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ostraka.chain.job_log import JobFacts
from ostraka.errors import NoRoute
from ostraka.types import NodeId, Stage
from ostraka_orchestrator.board import PlannedReplica, failures
from ostraka_orchestrator.decide import silent_replicas
from ostraka_orchestrator.desk import Desk, log
from ostraka_orchestrator.running import given_up
from ostraka_orchestrator.work import may_sign, plan_routes, send_call, serving_nodes, sign_route


@dataclass(frozen=True)
class Fresh:
    """Other routes for silent replicas, and where their nodes listen."""

    routes: dict[int, tuple[Stage, ...]]
    endpoint: dict[NodeId, str]


def replace(desk: Desk, job_id: int, number: int) -> None:
    """Calls the market's `replace` in round `number`, if replicas are silent and others could run them; once, however often it comes."""
    desk.market.look_again()
    job = desk.market.job_facts(job_id)
    plan = desk.board.plan(job_id)
    if plan is None or job.round != number or not job.state.takes_commits:
        return
    silent = silent_of(desk, job_id, plan, number)
    if not fresh_routes(desk, job, plan, silent, job.input_digest).routes:
        if silent:
            log.info("job %d: no other nodes could run replicas %s, which are silent", job_id, sorted(silent))
        return
    if send_call(desk, job_id, "replace", desk.market.replace(job_id)):
        log.warning("job %d: replicas %s are silent; others shall run them", job_id, sorted(silent))
        desk.board.tell(job_id, {"type": "replacing", "round": number + 1, "replicas": sorted(silent)})


def match_again(desk: Desk, job_id: int, number: int) -> bool:
    """Plans and signs round `number`. A replica for which there is no other way tries once more on the one it has.

    False while the chain or the board are not as far, or where this orchestrator must not sign.
    """
    if desk.board.is_planned(job_id, number):
        return True
    job = desk.market.job_facts(job_id)
    plan, seed = desk.board.plan(job_id), desk.market.block_hash(job.began_block + 1)
    if plan is None or seed is None or job.round != number or not job.state.takes_commits:
        return False
    if desk.has_stake() and not may_sign(desk.board.born(), job.block_number):
        return False
    fresh = fresh_routes(desk, job, plan, silent_of(desk, job_id, plan, number - 1), seed)
    following = [
        sign_route(desk, job_id, replica, fresh.routes[replica], fresh.endpoint, number)
        if replica in fresh.routes
        else planned
        for replica, planned in enumerate(plan)
    ]
    if desk.board.put_plan(job_id, following, number):
        routes = {replica: following[replica].stages for replica in fresh.routes}
        desk.board.tell(job_id, {"type": "matched_again", "round": number, "routes": routes})
    return True


def silent_of(desk: Desk, job_id: int, plan: Sequence[PlannedReplica], number: int) -> frozenset[int]:
    """Replicas of a plan that will not commit as things stand in round `number`."""
    failed = given_up(desk.board, job_id, plan, failures(desk.board.replicas(job_id, number)))
    return silent_replicas(
        [p.nodes for p in plan], desk.market.committed(job_id), failed, desk.board.heartbeats().keys()
    )


def fresh_routes(
    desk: Desk, job: JobFacts, plan: Sequence[PlannedReplica], silent: frozenset[int], seed: bytes
) -> Fresh:
    """Routes of operators that serve none of the job's replicas; where there is none, with what still answers of the silent ones'."""
    beats = desk.board.heartbeats()
    serving = serving_nodes(desk, job.model_id, beats, job.max_units)
    endpoint = {n.node_id: n.endpoint for n in serving}
    standing = _operators(desk, [p for replica, p in enumerate(plan) if replica not in silent])
    for taken in (standing | _operators(desk, [plan[replica] for replica in silent]), standing):
        nodes = [n for n in serving if n.operator not in taken]
        for count in range(len(silent), 0, -1):
            try:
                found = plan_routes(desk, job, count, seed, nodes, beats)
            except NoRoute:
                continue
            routes = {
                replica: stages
                for replica, stages in zip(sorted(silent), found, strict=False)
                if tuple(int(s.node_id) for s in stages) != plan[replica].nodes
            }
            if routes:
                return Fresh(routes, endpoint)
    return Fresh({}, endpoint)


def _operators(desk: Desk, plans: Sequence[PlannedReplica]) -> set[str]:
    return {desk.node(node_id).operator for planned in plans for node_id in planned.nodes}
