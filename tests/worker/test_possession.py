"""Challenges on an embedded chain: an honest node's responder answers, whatever it slept through; a liar has nothing to show."""

from __future__ import annotations

import hashlib
from itertools import count
from types import SimpleNamespace

import msgspec
import pytest
from tests.kit.chains import sender
from tests.sdk.model.test_manifest import example

from ostraka.chain import Market, Sender
from ostraka.chain.accounts import register_node, stake
from ostraka.chain.deploy import deploy
from ostraka.client.possession import answer, challenge, see_through
from ostraka.crypto.keys import derive_key, new_key
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, FIRST_SIGNER, MNEMONIC, ORCHESTRATOR, REQUESTER
from ostraka.errors import HashMismatch, InsufficientFunds, StakeTooLow, StoreUnavailable, UsageError
from ostraka.model import chunk_root, dump_manifest, shard_root
from ostraka.params import preset
from ostraka.store import LocalStore
from ostraka.types import OSTR, BlockSpan, ChallengeState, NodeId, NodeStatus
from ostraka_worker.faults import Fault
from ostraka_worker.possession import Responder
from ostraka_worker.service import Service

SIZES = (3000, 500, 1024, 5000)
FILES = [hashlib.shake_256(bytes([i])).digest(size) for i, size in enumerate(SIZES)]
WHOLE = BlockSpan(0, 4)
numbers = count()


@pytest.fixture(scope="module")
def market(web3):
    deployment = deploy(
        sender(web3, DEPLOYER), preset("local"), [derive_key(MNEMONIC, ORCHESTRATOR).address], lambda done, total: None
    )
    market = Market(web3, deployment)
    for account in (REQUESTER, FIRST_OPERATOR):
        sender(web3, DEPLOYER).send(market.transfer(derive_key(MNEMONIC, account).address, 1000 * OSTR))
    return market


@pytest.fixture(scope="module")
def node(web3, market):
    signer = sender(web3, FIRST_SIGNER)
    number, _ = register_node(market, sender(web3, FIRST_OPERATOR), signer.key, "host:1", 500 * OSTR)
    return number, signer


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def publish(web3, market, store, chain_root=None, **changes):
    """A model of real bytes: its manifest. `changes` are lies about the first block."""
    plain = example()
    blocks = [
        msgspec.structs.replace(
            block,
            cid=store.put(file),
            sha256=hashlib.sha256(file).hexdigest(),
            chunk_root=chunk_root(file).hex(),
            bytes=len(file),
        )
        for block, file in zip(plain.blocks, FILES, strict=True)
    ]
    blocks[0] = msgspec.structs.replace(blocks[0], **changes)
    root = shard_root([block.chunks for block in blocks]).hex()
    manifest = msgspec.structs.replace(plain, name=f"model {next(numbers)}", blocks=tuple(blocks), shard_root=root)
    store.put(dump_manifest(manifest))
    terms = (4, 100, 10**12, 0, 0, manifest.name)
    root = chain_root or bytes.fromhex(root)
    sender(web3, DEPLOYER).send(market._call("ModelRegistry", "publish", manifest.digest, root, *terms))
    return manifest


@pytest.fixture
def model(web3, market, store, node):
    """Published, and claimed by the node: (manifest, model id)."""
    manifest = publish(web3, market, store)
    node[1].send(market.claim(node[0], manifest.digest, WHOLE))
    return manifest, manifest.digest


def responder(market, node, store, fault=""):
    return Responder(market, node[1], store, node[0], Fault.parse(fault))


def wait_for_seed(market, challenge_id, eventually):
    eventually(lambda: market.possession_seed(market.challenge_view(challenge_id)) is not None)


def test_the_responder_answers_claims_of_an_earlier_life(web3, market, node, store, model, eventually):
    challenger = sender(web3, REQUESTER)
    operator = sender(web3, FIRST_OPERATOR).address
    owed = market.bonds_owed(operator)
    challenge_id = challenge(market, challenger, node[0], model[1])
    seen = market.challenge_view(challenge_id)
    assert (seen.state, seen.node_id, seen.span, seen.model_id) == (ChallengeState.OPEN, node[0], WHOLE, model[1])
    assert (seen.challenger, seen.penalty, seen.seed) == (challenger.address, 50 * OSTR, bytes(32))
    awake = responder(market, node, store)
    eventually(lambda: awake.look() or market.challenge_view(challenge_id).state is ChallengeState.PROVEN)
    assert market.open_challenge(node[0], model[1]) == 0
    assert market.bonds_owed(operator) == owed + market.challenge_bond()
    assert market.challengeable_at(node[0], model[1]) > market.now()
    assert answer(market, node[1], store, challenge_id) is ChallengeState.PROVEN, "answering again does nothing"
    sender(web3, FIRST_OPERATOR).send(market.withdraw_bonds())
    assert market.bonds_owed(operator) == 0


def test_the_seed_that_python_sees_is_the_one_that_is_drawn(web3, market, node, store, model, eventually):
    challenge_id = challenge(market, sender(web3, REQUESTER), node[0], model[1])
    wait_for_seed(market, challenge_id, eventually)
    expected = market.possession_seed(market.challenge_view(challenge_id))
    sender(web3, REQUESTER).send(market.draw(challenge_id))
    assert market.challenge_view(challenge_id).seed == expected
    assert answer(market, node[1], store, challenge_id) is ChallengeState.PROVEN


def test_a_file_that_is_gone_or_changed_is_named_and_the_node_lives_on(web3, market, node, store, model, eventually):
    challenge_id = challenge(market, sender(web3, REQUESTER), node[0], model[1])
    wait_for_seed(market, challenge_id, eventually)
    kept = {block.cid: store.path(block.cid).read_bytes() for block in model[0].blocks}
    for cid in kept:
        store.path(cid).unlink()
    with pytest.raises(StoreUnavailable):
        answer(market, node[1], store, challenge_id)
    responder(market, node, store).look()
    for cid, data in kept.items():
        store.path(cid).write_bytes(data[:-1] + b"\0")
    with pytest.raises(HashMismatch):
        answer(market, node[1], store, challenge_id)
    assert market.challenge_view(challenge_id).state is ChallengeState.OPEN
    for cid, data in kept.items():
        store.path(cid).write_bytes(data)
    responder(market, node, store).look()
    assert market.challenge_view(challenge_id).state is ChallengeState.PROVEN


def test_a_challenger_without_the_bond_or_a_number_that_is_none_is_told(web3, market, node, model):
    with pytest.raises(InsufficientFunds, match=r"the bond is 0\.1"):
        challenge(market, Sender(web3, new_key()), node[0], model[1])
    with pytest.raises(UsageError, match="challenge 999: there is none"):
        market.challenge_view(999)


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        ({"chain_root": b"\x01" * 32}, "the shard root on chain is not the manifest's"),
        ({"chunk_root": "ab" * 32}, "block 0 of model .*: refused, its chunk root is not the manifest's"),
        ({"bytes": 4000}, "block 0 of model .*: refused, its chunk root is not the manifest's"),
    ],
)
def test_a_model_about_which_no_challenge_could_be_answered_is_not_loaded(web3, market, store, lie, named):
    manifest = publish(web3, market, store, **lie)
    service = SimpleNamespace(market=market, store=store, memory_bytes=10**9, kernel=None)
    with pytest.raises(HashMismatch, match=named):
        Service.load(service, manifest.digest, WHOLE)


def test_a_node_that_keeps_nothing_is_slashed_by_whoever_sees_it_through(web3, market, node, store, model):
    challenger = sender(web3, REQUESTER)
    said = []
    challenge_id = challenge(market, challenger, node[0], model[1])
    responder(market, node, store, "forget-shards").look()
    staked = market.account(market.node(node[0]).operator).staked
    assert see_through(market, challenger, challenge_id, said.append) is ChallengeState.FAILED
    assert said == ["waiting for the chain block that decides", "waiting for the answer"]
    assert staked - market.account(market.node(node[0]).operator).staked == 50 * OSTR
    assert market.node(NodeId(node[0])).status is NodeStatus.JAILED
    assert market.span(node[0], model[1]) is None
    assert market.bonds_owed(challenger.address) == market.challenge_bond() + 15 * OSTR


def test_a_claim_that_was_ended_is_made_again_once_the_stake_suffices(web3, market, store):
    model_id = publish(web3, market, store).digest
    operator, signer = sender(web3, FIRST_OPERATOR + 1), sender(web3, FIRST_SIGNER + 1)
    minimum = market.minimum_stake(model_id)
    sender(web3, DEPLOYER).send(market.transfer(operator.address, 2 * minimum))
    node_id, _ = register_node(market, operator, signer.key, "host:2", minimum)
    signer.send(market.claim(node_id, model_id, WHOLE))
    service = SimpleNamespace(market=market, node_id=node_id, sender=signer)
    service.claim = lambda *wanted: Service.claim(service, *wanted)

    operator.send(market.request_unstake(1))
    sender(web3, REQUESTER).send(market.drop(node_id, model_id))
    with pytest.raises(StakeTooLow, match="this model asks for"):
        Service.claim_again(service, model_id, WHOLE)
    assert market.span(node_id, model_id) is None
    stake(market, operator, minimum)
    for _ in range(2):
        Service.claim_again(service, model_id, WHOLE)
        assert market.span(node_id, model_id) == WHOLE

    signer.send(market.release(node_id, model_id))
    operator.send(market.drain(node_id))
    Service.claim_again(service, model_id, WHOLE)
    assert market.span(node_id, model_id) is None, "a node that drains claims nothing"
