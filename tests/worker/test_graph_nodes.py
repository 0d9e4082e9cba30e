"""Two real nodes and a network that is no language model, a market in memory: an honest run, and every lie about an inference."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from tests.kit.market import FakeMarket, FakeSender
from tests.worker.engine.test_graph_stage import branches, inputs

from ostraka.codec.values import pack_values
from ostraka.crypto.eip712 import assignment_hash, attestation_message, commitment, recover
from ostraka.crypto.keys import new_key
from ostraka.crypto.trace import first_divergence, result_of
from ostraka.errors import BadFrame, TraceMismatch, UsageError
from ostraka.store.memory import MemoryStore
from ostraka.types import Assignment, JobId, NodeId, Stage
from ostraka.wire.grpc_transport import Peer, serve
from ostraka.wire.job_input import JobInput
from ostraka.wire.messages import Ack, Attest, Attested, Close, Done, Open, Run, Step, StepReply, pack_digests
from ostraka.wire.tensor_input import TensorInput
from ostraka_worker.attest import Identity, sign_receipt, unsigned_receipt
from ostraka_worker.engine import GraphStage, infer_local
from ostraka_worker.faults import Fault
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.lead import Lead
from ostraka_worker.node import Node
from ostraka_worker.prepare_graph import prepare_network
from ostraka_worker.records import Records

KERNEL, _ = pick_kernel()
STORE = MemoryStore()
MANIFEST = prepare_network("branches", branches(), STORE)
MODEL, BLOCKS, CUT = MANIFEST.digest, len(MANIFEST.blocks), 1
JOB = TensorInput(pack_values(inputs(2, 5)), "tensors")


def load(index):
    return STORE.get(MANIFEST.blocks[index].cid, max_bytes=1 << 30)


OUTPUTS, DIGESTS = infer_local(MANIFEST, load, JOB.inputs, KERNEL)
RESULT = result_of(DIGESTS, OUTPUTS, MODEL, JOB.digest)


class Pair:
    """Nodes 1 (blocks [0, CUT)) and 2 (the rest), both serving."""

    def __init__(self, market, nodes, endpoints):
        self.market, self.nodes, self.endpoints = market, nodes, endpoints

    def route(self):
        stages = (Stage(NodeId(1), 0, CUT, 4000), Stage(NodeId(2), CUT, BLOCKS, 6000))
        return self.market.route(Assignment(JobId(1), 0, stages), self.endpoints, MODEL)

    async def run(self, job=JOB):
        events = [event async for event in self.nodes[0].run(Run(b"s" * 32, self.route(), job.encode()))]
        return events[-1]

    async def ask(self, node, message, reply):
        peer = Peer(self.endpoints[node - 1])
        try:
            return await peer.call(message, reply, 20.0)
        finally:
            await peer.close()


@asynccontextmanager
async def pair(tmp_path, faults=("", "")):
    keys = [new_key(), new_key()]
    market = FakeMarket(keys)
    market.add_job(1, MODEL, JOB.digest)
    nodes, servers, endpoints = [], [], []
    for number, (key, (start, stop), fault) in enumerate(
        zip(keys, ((0, CUT), (CUT, BLOCKS)), faults, strict=True), start=1
    ):
        identity = Identity(market.domain, key, number)
        records = Records(tmp_path / f"node-{number}")
        lead = Lead(identity, market, FakeSender(market, key), records)
        node = Node(identity, market, records, lead, Fault.parse(fault))
        node.serve_stage(GraphStage(MANIFEST, start, stop, load, KERNEL), MODEL)
        server, port = await serve("127.0.0.1", 0, node.unary, node.streaming)
        nodes.append(node)
        servers.append(server)
        endpoints.append(f"127.0.0.1:{port}")
    try:
        yield Pair(market, nodes, endpoints)
    finally:
        for node in nodes:
            for task in node.lead._reveals.values():
                task.cancel()
            node.shut_down()
        for server in servers:
            await server.stop(None)


def test_an_inference_over_two_nodes_is_that_of_one(tmp_path):
    async def scenario():
        async with pair(tmp_path) as two:
            done = await two.run()
            assert isinstance(done, Done)
            assert (done.outputs, done.tokens, done.units) == (OUTPUTS, [], 1)
            assert [(r.stage, r.units) for r in done.receipts] == [(0, 1), (1, 1)]
            assert all(r.countersignature for r in done.receipts)
            (_, assignment, _, attestations, committed) = next(c for c in two.market.sent if c[0] == "commit")
            lead = two.market.signer_of(1)
            record = two.nodes[0].records.load(1, 0)
            assert (record.output, record.trace_root) == (RESULT.output, RESULT.trace_root)
            root = RESULT.trace_root
            assert committed == commitment(two.market.domain, 1, 0, lead, RESULT.hash, root, record.salt)
            signable = attestation_message(two.market.domain, assignment_hash(two.market.domain, assignment), committed)
            assert [recover(signable, s) for s in attestations] == [two.market.signer_of(2)]
            for node in two.nodes:
                assert np.array_equal(node.records.digests(1, 0), DIGESTS)

    asyncio.run(scenario())


@pytest.mark.parametrize(("faults", "border"), [(("tamper-activation", ""), CUT), (("", "tamper-activation"), BLOCKS)])
def test_a_lie_shows_at_the_border_of_whoever_told_it(tmp_path, faults, border):
    async def scenario():
        async with pair(tmp_path, faults) as two:
            done = await two.run()
            assert done.outputs != OUTPUTS
            told = two.nodes[1].records.digests(1, 0)
            found = first_divergence(told, DIGESTS, MODEL, JOB.digest)
            assert (found.position, found.border) == (0, border)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (TensorInput(JOB.inputs, "embed"), "the task of branches is 'tensors'"),
        (TensorInput(pack_values(inputs(2, 13)), "tensors"), "inputs:|tokens is 13"),
        (JobInput([1, 2], 3, []), "it generates no text"),
    ],
)
def test_a_job_that_does_not_fit_the_model_is_refused(tmp_path, job, said):
    async def scenario():
        async with pair(tmp_path) as two:
            with pytest.raises(UsageError, match=said):
                await two.run(job)
            assert not two.market.sent

    asyncio.run(scenario())


def test_other_inputs_than_the_chain_knows_are_refused(tmp_path):
    async def scenario():
        async with pair(tmp_path) as two:
            with pytest.raises(BadFrame, match="the input's digest is not the one on chain"):
                await two.run(TensorInput(pack_values(inputs(2, 5, seed=9)), "tensors"))

    asyncio.run(scenario())


# ── a lying lead, in front of an honest second node ──


async def open_and_step(two, packed=JOB.inputs):
    """The lead's part, by hand: what node 2 sees."""
    first = GraphStage(MANIFEST, 0, CUT, load, KERNEL)
    first.open(b"x", 1)
    result = first.step(b"x", 0, None, np.frombuffer(packed, np.uint8).reshape(1, -1))
    await two.ask(2, Open(b"s" * 32, two.route(), 1, JOB.terms.encode()), Ack)
    reply = await two.ask(2, Step(b"s" * 32, 0, 1, 0, result.rows.tobytes()), StepReply)
    own = np.frombuffer(hashlib.sha256(packed).digest(), np.uint8).reshape(1, 1, 32)
    behind = np.frombuffer(reply.digests, np.uint8).reshape(1, BLOCKS - CUT, 32)
    return reply, np.concatenate([own, result.digests, behind], axis=1)


def attest_of(two, digests, outputs, tokens=()):
    lead, salt = two.nodes[0].identity, b"z" * 32
    assignment = two.route().assignment()
    result = result_of(digests, outputs, MODEL, JOB.digest)
    address = two.market.signer_of(1)
    committed = commitment(two.market.domain, 1, 0, address, result.hash, result.trace_root, salt)
    receipts = [sign_receipt(lead, unsigned_receipt(assignment, 0, digests))]
    return Attest(b"s" * 32, list(tokens), pack_digests(digests), salt, committed, receipts, outputs)


def test_an_honest_lead_gets_its_attestation(tmp_path):
    async def scenario():
        async with pair(tmp_path) as two:
            reply, digests = await open_and_step(two)
            assert reply.outputs == OUTPUTS
            assert np.array_equal(digests, DIGESTS)
            answer = await two.ask(2, attest_of(two, digests, OUTPUTS), Attested)
            assert answer.attestation
            await two.ask(2, Close(b"s" * 32), Ack)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda two, d: attest_of(two, d, OUTPUTS[:-4] + b"\0\0\0\0"), "not the digest of these outputs"),
        (lambda two, d: attest_of(two, d, OUTPUTS, [1]), "1 tokens; an inference has none"),
        (lambda two, d: msgspec.structs.replace(attest_of(two, d, OUTPUTS), commitment=b"c" * 32), "commitment"),
    ],
)
def test_a_lead_that_states_another_answer_gets_no_attestation(tmp_path, lie, said):
    async def scenario():
        async with pair(tmp_path) as two:
            _, digests = await open_and_step(two)
            with pytest.raises(TraceMismatch, match=said):
                await two.ask(2, lie(two, digests), Attested)

    asyncio.run(scenario())


def test_a_lead_that_fed_other_inputs_gets_no_attestation(tmp_path):
    """Terms and chain say one thing, the values that came another: the trace would have to lie about border 0."""

    async def scenario():
        async with pair(tmp_path) as two:
            other = pack_values(inputs(2, 5, seed=7))
            reply, digests = await open_and_step(two, other)
            with pytest.raises(TraceMismatch, match="border 0 is not the digest of the job's inputs"):
                await two.ask(2, attest_of(two, digests, reply.outputs), Attested)

    asyncio.run(scenario())


@pytest.mark.parametrize("rows", [b"", b"junk", pack_values({"zzz": np.ones(1, np.float32)}), bytes(10**6)])
def test_values_that_do_not_cross_this_border_are_refused_and_the_session_lives(tmp_path, rows):
    async def scenario():
        async with pair(tmp_path) as two:
            await two.ask(2, Open(b"s" * 32, two.route(), 1, JOB.terms.encode()), Ack)
            with pytest.raises(BadFrame):
                await two.ask(2, Step(b"s" * 32, 0, 1, 0, rows), StepReply)
            await two.ask(2, Close(b"s" * 32), Ack)
            reply, _ = await open_and_step(two)
            assert reply.outputs == OUTPUTS

    asyncio.run(scenario())


def test_nobody_keeps_a_session_when_the_asker_hangs_up_with_the_result(tmp_path):
    async def scenario():
        async with pair(tmp_path) as two:
            closing, closed = asyncio.Event(), asyncio.Event()

            async def slow_drop(session, drop=two.nodes[0].drop):
                closing.set()
                await asyncio.sleep(0.05)
                await drop(session)
                closed.set()

            two.nodes[0].drop = slow_drop
            asked = asyncio.create_task(two.run())
            await closing.wait()
            asked.cancel()
            await asyncio.wait([asked])
            await asyncio.wait_for(closed.wait(), 10)
            assert [node.busy for node in two.nodes] == [0, 0]

    asyncio.run(scenario())
