"""Two real nodes talking gRPC over loopback, with a tiny model and a market in memory: honest runs, then every lie."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import asynccontextmanager

import numpy as np
import pytest
from tests.kit.market import FakeMarket, FakeSender
from tests.worker.engine.tiny import tiny_model

from ostraka.chain.orchestrators import ANYBODY
from ostraka.codec import row_format
from ostraka.crypto.eip712 import assignment_hash, attestation_message, commitment, recover
from ostraka.crypto.keys import new_key
from ostraka.crypto.trace import first_divergence, make_result
from ostraka.errors import (
    BadFrame,
    BadSignature,
    ConfigError,
    PeerUnreachable,
    PromptTooLong,
    StakeTooLow,
    TraceMismatch,
    TransactionFailed,
    UnknownJob,
    UsageError,
)
from ostraka.types import Assignment, JobId, JobState, NodeId, Stage
from ostraka.wire.grpc_transport import Peer, serve
from ostraka.wire.job_input import JobInput
from ostraka.wire.messages import (
    Ack,
    Attest,
    Attested,
    Close,
    Done,
    GetTrace,
    Open,
    Run,
    Step,
    StepReply,
    Token,
    Trace,
    Truncate,
    unpack_digests,
)
from ostraka.wire.sampling import Sampling
from ostraka_worker.attest import Identity
from ostraka_worker.engine.local import generate_local
from ostraka_worker.engine.stage import Stage as EngineStage
from ostraka_worker.faults import Fault
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.lead import Lead
from ostraka_worker.node import OVER_IDLE_S, SESSION_IDLE_S, Node
from ostraka_worker.records import Record, Records

MANIFEST, FILES = tiny_model()
BLOCKS = len(MANIFEST.blocks)
CUT = 2
MODEL = MANIFEST.digest
JOB = JobInput(prompt=[5, 9, 30, 7], max_tokens=9, stop=[2])
KERNEL, _ = pick_kernel()


def answer_alone():
    tokens, digests = generate_local(MANIFEST, FILES.__getitem__, JOB.prompt, JOB.max_tokens, JOB.stop, KERNEL)
    return tokens, digests, make_result(digests, tokens, MODEL, JOB.digest)


class Pair:
    """Nodes 1 (blocks [0, CUT)) and 2 (the rest), both serving."""

    def __init__(self, market, nodes, endpoints):
        self.market, self.nodes, self.endpoints = market, nodes, endpoints

    def assignment(self, job_id=1, replica=0):
        stages = (Stage(NodeId(1), 0, CUT, 4000), Stage(NodeId(2), CUT, BLOCKS, 6000))
        return Assignment(JobId(job_id), replica, stages)

    def route(self, assignment=None, **changes):
        return self.market.route(assignment or self.assignment(), self.endpoints, MODEL, **changes)

    async def run(self, claimed=None, route=None, job=JOB, session=b"s" * 32):
        events = []
        async for event in self.nodes[0].run(Run(session, route or self.route(), job.encode(), claimed)):
            events.append(event)
        return events

    def open_message(self, stage=1, **changes):
        message = Open(b"o" * 32, self.route(), stage, JOB.terms.encode())
        return dataclasses_replace(message, **changes)


def dataclasses_replace(struct, **changes):
    import msgspec

    return msgspec.structs.replace(struct, **changes)


@asynccontextmanager
async def pair(tmp_path, faults=("", ""), serving=True, kv_bytes=1 << 20):
    keys = [new_key(), new_key()]
    market = FakeMarket(keys)
    market.add_job(1, MODEL, JOB.digest)
    nodes, servers, endpoints = [], [], []
    for index, (start, stop) in enumerate(((0, CUT), (CUT, BLOCKS))):
        identity = Identity(market.domain, keys[index], index + 1)
        records = Records(tmp_path / f"node-{index + 1}")
        lead = Lead(identity, market, FakeSender(market, keys[index]), records)
        node = Node(identity, market, records, lead, Fault.parse(faults[index]), kv_bytes)
        if serving:
            stage = EngineStage(MANIFEST, start, stop, FILES.__getitem__, KERNEL)
            node.serve_stage(stage, MODEL)
        server, port = await serve("127.0.0.1", 0, node.unary, node.streaming)
        nodes.append(node)
        servers.append(server)
        endpoints.append(f"127.0.0.1:{port}")
    try:
        yield Pair(market, nodes, endpoints)
    finally:
        for node in nodes:
            for task in list(node.lead._reveals.values()):
                task.cancel()
            node.shut_down()
        for server in servers:
            await server.stop(0)


def scenario(tmp_path, play, **settings):
    async def run():
        async with pair(tmp_path, **settings) as two:
            return await play(two)

    return asyncio.run(run())


# ── honest ──


def test_a_sampled_job_is_what_one_process_draws_and_a_replica_checks_it_by_prefill(tmp_path):
    job = JobInput(JOB.prompt, JOB.max_tokens, JOB.stop, Sampling(1200, top_k=100, top_p_milli=950, seed=(1 << 64) - 3))
    tokens, digests = generate_local(
        MANIFEST, FILES.__getitem__, job.prompt, job.max_tokens, job.stop, KERNEL, sampling=job.sampling
    )
    assert tokens != answer_alone()[0]
    result = make_result(digests, tokens, MODEL, job.digest)

    async def play(two):
        two.market.add_job(1, MODEL, job.digest)
        for replica, claimed in enumerate((None, tokens, [*tokens[:3], tokens[3] ^ 1, *tokens[4:]])):
            route = two.route(two.assignment(replica=replica))
            events = await two.run(claimed, route, job, bytes([replica]) * 32)
            assert events[-1].tokens == tokens
            assert two.nodes[0].records.load(1, replica).trace_root == result.trace_root

    scenario(tmp_path, play)


def test_two_stages_give_what_one_process_gives_and_commit_to_it(tmp_path):
    tokens, digests, result = answer_alone()

    async def play(two):
        events = await two.run()
        assert [e.token for e in events if isinstance(e, Token)] == tokens
        done = events[-1]
        assert isinstance(done, Done)
        assert (done.tokens, done.units) == (tokens, len(digests))
        ((_, assignment, _, attestations, committed),) = two.market.sent
        record = two.nodes[0].records.load(1, 0)
        assert (record.output, record.trace_root) == (result.output, result.trace_root)
        lead = two.market.signer_of(1)
        expected = commitment(two.market.domain, 1, 0, lead, result.hash, result.trace_root, record.salt)
        assert committed == expected
        message = attestation_message(two.market.domain, assignment_hash(two.market.domain, assignment), committed)
        assert [recover(message, a) for a in attestations] == [two.market.signer_of(2)]
        assert len(done.receipts) == 2
        assert all(r.countersignature for r in done.receipts)
        assert done.receipts[0].output == done.receipts[1].input
        assert two.nodes[0].busy == two.nodes[1].busy == 0

    scenario(tmp_path, play)


@pytest.mark.parametrize(
    "spoil", [lambda t: t, lambda t: [t[0] ^ 1, *t[1:]], lambda t: [*t[:3], t[3] ^ 1, *t[4:]], lambda t: []]
)
def test_a_check_ends_in_the_same_result_whatever_was_claimed(tmp_path, spoil):
    tokens, _, result = answer_alone()

    async def play(two):
        events = await two.run(claimed=spoil(tokens))
        assert events[-1].tokens == tokens
        assert two.nodes[0].records.load(1, 0).trace_root == result.trace_root

    scenario(tmp_path, play)


def test_a_trace_is_shown_after_the_reveal_and_not_before(tmp_path):
    _, digests, result = answer_alone()

    async def play(two):
        await two.run()
        for endpoint in two.endpoints:
            peer = Peer(endpoint)
            with pytest.raises(BadSignature, match="not revealed yet"):
                await peer.call(GetTrace(1, 0), Trace, 5)
            await peer.close()
        two.market.revealed.add((1, 0))
        for endpoint in two.endpoints:
            peer = Peer(endpoint)
            trace = await peer.call(GetTrace(1, 0), Trace, 5)
            await peer.close()
            got = unpack_digests(trace.digests, trace.units, trace.borders)
            assert np.array_equal(got, digests)
            assert make_result(got, trace.tokens, MODEL, JOB.digest) == result

    scenario(tmp_path, play)


def test_a_restarted_lead_still_reveals(tmp_path):
    async def play(two):
        await two.run()
        for task in list(two.nodes[0].lead._reveals.values()):
            task.cancel()
        two.market.jobs[1] = dataclasses.replace(two.market.jobs[1], state=JobState.REVEALING)
        fresh = Lead(two.nodes[0].identity, two.market, two.nodes[0].lead.sender, two.nodes[0].records)
        fresh.resume()
        for _ in range(100):
            if any(call[0] == "reveal" for call in two.market.sent):
                break
            await asyncio.sleep(0.05)
        (revealed,) = [call for call in two.market.sent if call[0] == "reveal"]
        record = two.nodes[0].records.load(1, 0)
        assert revealed[1:] == (1, 0, record.units, record.output, record.trace_root, record.salt)
        await asyncio.sleep(0.1)
        assert two.nodes[0].records.unrevealed() == []

    scenario(tmp_path, play)


# ── lies ──


@pytest.mark.parametrize(("cheat", "blocks"), [(0, range(CUT)), (1, range(CUT, BLOCKS))])
def test_a_tampering_stage_is_found_to_the_block(tmp_path, cheat, blocks):
    """The replica commits, since its stages agree with themselves; the trace names a block of the cheat's span."""
    _, digests, honest = answer_alone()
    faults = ["", ""]
    faults[cheat] = "tamper-activation"

    async def play(two):
        await two.run()
        got = two.nodes[1].records.digests(1, 0)
        record = two.nodes[0].records.load(1, 0)
        assert record.trace_root != honest.trace_root
        found = first_divergence(got, digests, MODEL, JOB.digest)
        assert found.border - 1 in blocks

    scenario(tmp_path, play, faults=faults)


def test_a_fault_limited_to_another_job_changes_nothing(tmp_path):
    async def play(two):
        events = await two.run()
        assert events[-1].tokens == answer_alone()[0]

    scenario(tmp_path, play, faults=("tamper-activation:job=2", ""))


def test_a_lead_that_forges_a_neighbours_digests_gets_no_signature(tmp_path):
    tokens, digests, _ = answer_alone()

    async def play(two):
        peer = Peer(two.endpoints[1])
        session = await open_and_feed(two, peer)
        for border in (CUT, CUT + 1, BLOCKS):
            forged = digests.copy()
            forged[1, border] ^= 1
            with pytest.raises(TraceMismatch):
                await peer.call(attest_message(session, forged, tokens, two), Attested, 5)
        with pytest.raises((TraceMismatch, BadFrame)):
            await peer.call(attest_message(session, digests[:-1], tokens, two), Attested, 5)
        with pytest.raises(TraceMismatch, match="token"):
            await peer.call(attest_message(session, digests, [tokens[0] ^ 1, *tokens[1:]], two), Attested, 5)
        with pytest.raises(TraceMismatch, match="commitment"):
            await peer.call(attest_message(session, digests, tokens, two, commitment=b"x" * 32), Attested, 5)
        with pytest.raises(BadSignature, match="receipt"):
            await peer.call(attest_message(session, digests, tokens, two, key=new_key()), Attested, 5)
        answer = await peer.call(attest_message(session, digests, tokens, two), Attested, 5)
        assert answer.countersignature
        with pytest.raises(BadFrame, match="attested"):
            await peer.call(Step(session, len(digests), 1, 0, bytes(MANIFEST.row_bytes_at(1))), StepReply, 5)
        await peer.close()

    scenario(tmp_path, play)


async def open_and_feed(two, peer):
    """Plays an honest first stage against node 2: the same rows that generation would send."""
    tokens, digests, _ = answer_alone()
    session = b"f" * 32
    await peer.call(two.open_message(session=session), Ack, 5)
    stage = EngineStage(MANIFEST, 0, CUT, FILES.__getitem__, KERNEL)
    stage.open(session, JOB.max_units)
    fed = [*JOB.prompt, *tokens[:-1]]
    rows = stage.step(session, 0, np.array(fed), None, None).rows
    reply = await peer.call(Step(session, 0, len(fed), len(JOB.prompt) - 1, rows.tobytes()), StepReply, 10)
    assert reply.tokens == tokens
    assert len(reply.digests) == len(digests) * (BLOCKS - CUT) * 32
    return session


def attest_message(session, digests, tokens, two, key=None, **changes):
    from ostraka.wire.messages import pack_digests
    from ostraka_worker.attest import sign_receipt, unsigned_receipt

    identity = Identity(two.market.domain, key or two.market.signers[0], 1)
    salt = b"z" * 32
    result = make_result(digests, tokens, MODEL, JOB.digest)
    committed = commitment(two.market.domain, 1, 0, two.market.signer_of(1), result.hash, result.trace_root, salt)
    receipt = sign_receipt(identity, unsigned_receipt(two.assignment(), 0, digests))
    message = Attest(session, tokens, pack_digests(digests), salt, committed, [receipt])
    return dataclasses_replace(message, **changes)


# ── strangers ──


def terms(**changes) -> bytes:
    return dataclasses_replace(JOB, **changes).terms.encode()


def test_a_route_that_the_jobs_orchestrator_did_not_sign_is_refused(tmp_path):
    async def play(two):
        with pytest.raises(BadSignature, match="assignment"):
            await two.run(route=two.route(signer=new_key()))
        assert two.nodes[0].busy == 0

    scenario(tmp_path, play)


def test_a_job_that_names_nobody_is_run_for_whose_turn_it_is(tmp_path):
    async def play(two):
        two.market.jobs[1] = dataclasses.replace(two.market.jobs[1], orchestrator=ANYBODY)
        leader, other = new_key(), new_key()
        two.market.turns = {(leader.address, 1_001)}
        with pytest.raises(BadSignature, match="whose turn it is not for job 1"):
            await two.run(route=two.route(signer=other))
        assert two.nodes[0].busy == 0
        assert (await two.run(route=two.route(signer=leader)))[-1].tokens

    scenario(tmp_path, play)


def test_a_second_route_of_a_replica_never_costs_the_salt_of_the_first(tmp_path):
    """Two orchestrators may both be in time for a job that names nobody; one commit counts, and must be revealed."""

    async def play(two):
        two.market.jobs[1] = dataclasses.replace(two.market.jobs[1], orchestrator=ANYBODY)
        keys = [new_key(), new_key()]
        two.market.turns = {(key.address, 1_001) for key in keys}
        both = [two.run(route=two.route(signer=key), session=bytes([i]) * 32) for i, key in enumerate(keys)]
        ended = await asyncio.gather(*both, return_exceptions=True)
        (refused,) = [end for end in ended if isinstance(end, BadFrame)]
        assert "job 1 replica 0: is committed" in str(refused)
        (commit,) = two.market.sent
        lead, result, record = two.market.signer_of(1), answer_alone()[2], two.nodes[0].records.load(1, 0)
        opened = commitment(two.market.domain, 1, 0, lead, result.hash, result.trace_root, record.salt)
        assert opened == commit[-1]
        with pytest.raises(BadFrame, match="job 1 replica 0: is committed"):
            async with two.nodes[0].lead.uncommitted(two.assignment()):
                pass

    scenario(tmp_path, play)


def test_what_a_node_kept_of_a_replica_outlives_a_commit_that_the_chain_refuses(tmp_path):
    async def play(two):
        kept = Record(1, 0, False, [1], 1, b"", b"", b"salt of another route")
        two.nodes[0].records.save(kept)
        two.market.refuses_commits = True
        with pytest.raises(TransactionFailed, match="AlreadyCommitted"):
            await two.run()
        assert two.nodes[0].records.load(1, 0) == kept
        assert two.nodes[0].records.unrevealed() == []

    scenario(tmp_path, play)


REFUSALS = {
    "an unknown job": (lambda two: {"route": two.route(two.assignment(job_id=9))}, UnknownJob, "job 9"),
    "a replica too many": (lambda two: {"route": two.route(two.assignment(replica=3))}, BadFrame, "replica 3 of 3"),
    "another stage": (lambda two: {"stage": 5}, BadFrame, "not this node's"),
    "a negative stage": (lambda two: {"stage": -1}, BadFrame, "not this node's"),
    "another prompt": (lambda two: {"terms": terms(prompt=[5, 9, 30])}, BadFrame, "digest is not the one on chain"),
    "another sampling": (
        lambda two: {"terms": terms(sampling=Sampling(500, seed=1))},
        BadFrame,
        "digest is not the one on chain",
    ),
    "a short session id": (lambda two: {"session": b"x"}, BadFrame, "32 bytes"),
    "no terms": (lambda two: {"terms": b""}, BadFrame, "job terms"),
    "an impossible sampling": (lambda two: {"terms": terms(sampling=Sampling(-5))}, UsageError, "temperature_milli"),
    "no answer": (lambda two: {"terms": terms(max_tokens=0)}, UsageError, "max_tokens: 0"),
    "too long a job": (lambda two: {"terms": terms(max_tokens=10**6)}, PromptTooLong, "context has"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_session_with_something_wrong_is_refused_by_name(tmp_path, case):
    changes, error, names = REFUSALS[case]

    async def play(two):
        peer = Peer(two.endpoints[1])
        with pytest.raises(error, match=names):
            await peer.call(two.open_message(**changes(two)), Ack, 5)
        await peer.close()
        assert two.nodes[1].busy == 0

    scenario(tmp_path, play)


@pytest.mark.parametrize("state", [JobState.REVEALING, JobState.FINAL, JobState.CANCELLED])
def test_no_work_is_done_for_a_job_that_is_not_open(tmp_path, state):
    async def play(two):
        two.market.jobs[1] = dataclasses.replace(two.market.jobs[1], state=state)
        with pytest.raises(UnknownJob, match=state.name.lower()):
            await two.run()

    scenario(tmp_path, play)


def test_a_node_without_free_stake_takes_no_job_it_could_not_be_locked_for(tmp_path):
    async def play(two):
        two.market.free = 9
        with pytest.raises(StakeTooLow, match="locks 10"):
            await two.run()

    scenario(tmp_path, play)


def test_a_node_takes_as_many_positions_as_its_kv_caches_have_room_for(tmp_path):
    units = JOB.terms.max_units
    each = EngineStage(MANIFEST, CUT, BLOCKS, FILES.__getitem__, KERNEL).position_bytes

    async def play(two):
        first, second = two.nodes
        assert second.positions_left == units
        opened = await first.open_as_lead(two.open_message(stage=0))
        assert second.positions_left == 0
        left = first.positions_left
        with pytest.raises(BadFrame, match=rf"{units} positions; this node's KV caches have room for 0 more"):
            await first.open_as_lead(two.open_message(stage=0, session=b"p" * 32))
        assert (first.positions_left, second.positions_left) == (left, 0)
        await first.drop(opened)
        assert second.positions_left == units
        await two.run()

    scenario(tmp_path, play, kv_bytes=each * units + each - 1)


def test_a_node_without_blocks_says_so(tmp_path):
    async def play(two):
        with pytest.raises(ConfigError, match="no blocks loaded"):
            await two.run()

    scenario(tmp_path, play, serving=False)


def test_an_impossible_input_never_reaches_the_model(tmp_path):
    async def play(two):
        bad = JobInput(prompt=[10**6], max_tokens=2, stop=[])
        two.market.add_job(1, MODEL, bad.digest)
        with pytest.raises(UsageError, match="vocabulary"):
            await two.run(job=bad)

    scenario(tmp_path, play)


def test_malformed_steps_leave_the_session_usable(tmp_path):
    async def play(two):
        peer = Peer(two.endpoints[1])
        await peer.call(two.open_message(), Ack, 5)
        row = (
            row_format(MANIFEST.wire, MANIFEST.arch.hidden)
            .encode(np.ones((1, MANIFEST.arch.hidden), np.float32))
            .tobytes()
        )
        for step in (
            Step(b"o" * 32, 0, 1, 0, bytes(MANIFEST.row_bytes_at(1))),  # no row that an encoder makes
            Step(b"o" * 32, 0, 1, 0, row[:-1]),
            Step(b"o" * 32, 0, 2, 0, row),
            Step(b"o" * 32, 0, -1, 0, b""),
            Step(b"o" * 32, 5, 1, 0, row),
            Step(b"o" * 32, 0, 1000, 0, row * 1000),
        ):
            with pytest.raises(BadFrame):
                await peer.call(step, StepReply, 5)
        with pytest.raises(BadFrame, match="unknown or already closed"):
            await peer.call(Step(b"n" * 32, 0, 1, 0, row), StepReply, 5)
        with pytest.raises(BadFrame, match="cut back"):
            await peer.call(Truncate(b"o" * 32, 4), Ack, 5)
        reply = await peer.call(Step(b"o" * 32, 0, 1, 0, row), StepReply, 5)
        assert len(reply.tokens) == 1
        await peer.call(Close(b"o" * 32), Ack, 5)
        with pytest.raises(BadFrame):
            await peer.call(Close(b"o" * 32), Ack, 5)
        await peer.close()

    scenario(tmp_path, play)


def test_a_dead_neighbour_fails_the_replica_and_frees_the_session(tmp_path):
    async def play(two):
        two.endpoints[1] = "127.0.0.1:1"
        with pytest.raises(PeerUnreachable, match="127"):
            await two.run()
        assert two.nodes[0].busy == 0
        assert two.market.sent == []

    scenario(tmp_path, play)


def test_a_session_whose_lead_has_died_is_freed(tmp_path):
    async def play(two):
        peer = Peer(two.endpoints[1])
        await peer.call(two.open_message(), Ack, 5)
        await peer.close()
        now = asyncio.get_running_loop().time()
        assert await two.nodes[1].reap(now + SESSION_IDLE_S - 10) == 0
        assert two.nodes[1].busy == 1
        assert await two.nodes[1].reap(now + SESSION_IDLE_S + 1) == 1
        assert two.nodes[1].busy == 0

    scenario(tmp_path, play)


@pytest.mark.parametrize("over", ["refunded", "late"])
def test_a_session_of_a_job_that_is_over_is_freed_soon(tmp_path, over):
    async def play(two):
        peer = Peer(two.endpoints[1])
        await peer.call(two.open_message(), Ack, 5)
        await peer.close()
        now = asyncio.get_running_loop().time()
        if over == "late":
            two.market.clock = two.market.job_facts(1).deadline
        else:
            two.market.set_state(1, JobState.FAILED)
        assert await two.nodes[1].reap(now + OVER_IDLE_S - 1) == 0
        assert await two.nodes[1].reap(now + OVER_IDLE_S + 1) == 1
        assert two.nodes[1].busy == 0

    scenario(tmp_path, play)


# ── records ──


def test_records_survive_a_restart_and_damage_is_no_crash(tmp_path):
    records = Records(tmp_path)
    record = Record(1, 0, True, [4], 2, b"o", b"r", b"s" * 32)
    records.save(record, np.zeros((2, 3, 32), np.uint8))
    again = Records(tmp_path)
    assert again.load(1, 0) == record
    assert again.unrevealed() == [record]
    (tmp_path / "1-0" / "record").write_bytes(b"junk")
    (tmp_path / "1-0" / "digests.npy").write_bytes(b"junk")
    assert again.load(1, 0) is None
    assert again.digests(1, 0) is None
    assert again.unrevealed() == []


@pytest.mark.parametrize("text", ["explode", "stall:when=2", "tamper-activation:job=x"])
def test_an_unknown_fault_is_refused(text):
    with pytest.raises(ConfigError, match="fault"):
        Fault.parse(text)
