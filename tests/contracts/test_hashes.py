"""The contracts' hashing and arithmetic against Python: hashlib, eth-account, plain integers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world.market import World
from world.money import ALL, Rules
from world.signing import Domain, seal
from world.trace import Trace, depth, first_difference, proof_of, result_hash, root_of, sha

UNITS = st.integers(1, 2**32 - 1)
DIGEST = st.binary(min_size=32, max_size=32)
# What the SDK's own modules make of the same things: written by tests/sdk/crypto/test_vectors.py.
VECTORS = json.loads((Path(__file__).parent / "vectors" / "traces.json").read_text())
STAKES = st.integers(0, 2**96 - 1)
PRICES = st.integers(0, 2**80 - 1)
RULES = st.builds(
    Rules,
    protocol_bps=st.integers(0, 8_700),  # with the largest of the other two, as Params allows
    royalty_bps=st.integers(0, 1_000),
    orchestrator_bps=st.integers(0, 300),
    lock_multiple=st.integers(1, 255),
    slash_bps=st.integers(0, ALL),
    challenger_bps=st.integers(0, 3_000),
)
STAGE = st.tuples(st.integers(0, 2**64 - 1), *[st.integers(0, 2**16 - 1)] * 3)


@pytest.fixture(scope="module")
def library(house: World):
    return house.deployer.account.deploy(house.project.LibraryHarness)


def hexed(digest: bytes) -> str:
    return "0x" + digest.hex()


class TestGivenATrace:
    @given(count=st.integers(1, 70), data=st.data())
    @settings(max_examples=100)
    def test_every_merkle_proof_should_lead_to_the_root(self, library, count, data):
        values = [sha(b"value", bytes([i])) for i in range(count)]
        index = data.draw(st.integers(0, count - 1))
        proof = proof_of(values, index)
        assert library.root(values[index], index, proof) == hexed(root_of(values))
        assert library.depth(count) == len(proof)
        if count > 1:
            other = data.draw(st.integers(0, count - 1).filter(lambda i: i != index))
            assert library.root(values[index], other, proof) != hexed(root_of(values))
            assert library.root(values[other], index, proof) != hexed(root_of(values))

    @given(count=UNITS)
    @settings(max_examples=100)
    def test_depth_should_be_the_binary_logarithm_rounded_up(self, library, count):
        assert library.depth(count) == depth(count)

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 2**31, 2**31 + 1, 2**32 - 1])
    def test_depth_should_be_right_at_the_powers_of_two(self, library, count):
        assert library.depth(count) == depth(count)

    def test_a_node_should_not_pass_as_a_leaf(self, library):
        """Two levels up, with the lower level's pair as the value: what a tree without prefixes would let through."""
        values = [sha(bytes([i])) for i in range(4)]
        leaves = [hashlib.sha256(b"\x00" + v).digest() for v in values]
        right = hashlib.sha256(b"\x01" + leaves[2] + leaves[3]).digest()
        left = hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).digest()
        assert library.root(left, 0, [right]) != hexed(root_of(values))

    @given(previous=DIGEST, digests=st.lists(DIGEST, min_size=1, max_size=12))
    @settings(max_examples=60)
    def test_a_link_should_be_the_hash_of_all_before_and_its_row(self, library, previous, digests):
        assert library.link(previous, digests) == hexed(sha(previous, *digests))

    @given(units=UNITS, output=DIGEST, root=DIGEST)
    @settings(max_examples=60)
    def test_a_result_hash_should_be_packed_sha256(self, library, units, output, root):
        assert library.resultHash(units, output, root) == hexed(result_hash(units, output, root))

    @given(row=st.lists(DIGEST, min_size=1, max_size=8), data=st.data())
    @settings(max_examples=60)
    def test_the_first_difference_should_be_found(self, library, row, data):
        changed = set(data.draw(st.lists(st.integers(0, len(row) - 1), max_size=3)))
        other = [sha(b"changed", digest) if i in changed else digest for i, digest in enumerate(row)]
        assert library.firstDifference(row, other) == min(changed, default=len(row))


def unhexed(digests: list[str]) -> list[bytes]:
    return [bytes.fromhex(digest) for digest in digests]


def trace_of(vector: dict) -> Trace:
    return Trace(
        bytes.fromhex(vector["first"]),
        tuple(tuple(unhexed(row)) for row in vector["rows"]),
        bytes.fromhex(vector["output"]),
    )


class TestGivenTheSdksVectors:
    """SDK, contract and the twin in world/trace.py, which all other tests here use: three times the same bytes."""

    @pytest.mark.parametrize("tree", VECTORS["trees"], ids=lambda tree: f"{len(tree['values'])} values")
    def test_trees_should_be_the_sdks(self, library, tree):
        values = unhexed(tree["values"])
        assert root_of(values).hex() == tree["root"]
        assert library.depth(len(values)) == depth(len(values))
        for index, proof in tree["proofs"].items():
            proof = unhexed(proof)
            assert proof_of(values, int(index)) == proof
            assert library.root(values[int(index)], int(index), proof) == "0x" + tree["root"]

    @pytest.mark.parametrize("vector", VECTORS["traces"], ids=lambda vector: f"{len(vector['rows'])} positions")
    def test_traces_and_results_should_be_the_sdks(self, library, vector):
        trace = trace_of(vector)
        assert trace.first == sha(b"ostraka/trace/1", *unhexed([VECTORS["model"], VECTORS["input"]]))
        assert [link.hex() for link in trace.links] == vector["links"]
        assert (trace.root.hex(), trace.hash.hex()) == (vector["root"], vector["result"])
        for position, row in enumerate(trace.rows):
            assert library.link(trace.previous(position), row) == "0x" + vector["links"][position]
        assert library.resultHash(*trace.result) == "0x" + vector["result"]
        words = bytes.fromhex(vector["words"])
        assert sha(b"ostraka/output/1", (len(words) // 4).to_bytes(4, "little"), words) == trace.output

    @pytest.mark.parametrize("vector", VECTORS["divergences"], ids=lambda vector: f"at {vector['position']}")
    def test_differences_should_be_the_sdks(self, library, vector):
        loser, winner = trace_of(vector["loser"]), trace_of(vector["winner"])
        position = vector["position"]
        assert first_difference(loser, winner) == position
        assert library.firstDifference(loser.rows[position], winner.rows[position]) == vector["border"]
        for trace, name in ((loser, "loser"), (winner, "winner")):
            assert trace.previous(position).hex() == vector["previous"]
            assert trace.proof(position) == unhexed(vector[f"{name}Proof"])
            link = library.link(bytes.fromhex(vector["previous"]), trace.rows[position])
            assert library.root(link, position, unhexed(vector[f"{name}Proof"])) == "0x" + vector[name]["root"]


class TestGivenTypedData:
    @given(job=st.integers(0, 2**256 - 1), replica=st.integers(0, 255), stages=st.lists(STAGE, max_size=6))
    @settings(max_examples=100)
    def test_an_assignment_should_hash_as_eth_account_says(self, library, job, replica, stages):
        message = Domain(1337, library.address).assignment(job, replica, stages)
        assert library.hashAssignment(job, replica, stages) == hexed(message.body)

    @given(assignment=DIGEST, commitment=DIGEST)
    @settings(max_examples=60)
    def test_an_attestation_should_hash_as_eth_account_says(self, library, assignment, commitment):
        message = Domain(1337, library.address).attestation(assignment, commitment)
        assert library.hashAttestation(assignment, commitment) == hexed(message.body)

    @given(
        job=st.integers(0, 2**256 - 1),
        result=DIGEST,
        replicas=st.lists(st.lists(STAGE, max_size=3), max_size=4),
    )
    @settings(max_examples=60)
    def test_a_settlement_should_hash_as_eth_account_says(self, library, job, result, replicas):
        domain = Domain(1337, library.address)
        assignments = [domain.assignment(job, i, stages).body for i, stages in enumerate(replicas)]
        assert library.hashSettlement(job, result, assignments) == hexed(domain.settlement(job, result, replicas).body)

    @given(lead=st.integers(0, 2**32 - 1), followers=st.integers(0, 63), assignment=DIGEST, commitment=DIGEST)
    @settings(max_examples=60)
    def test_a_seal_should_be_the_leads_id_its_followers_and_a_hash(self, library, lead, followers, assignment, commitment):
        assert library.seal(lead, followers, assignment, commitment) == hexed(
            seal(lead, assignment, commitment, followers)
        )

    @given(job=st.integers(0, 2**256 - 1), replica=st.integers(0, 255), result=DIGEST, root=DIGEST, salt=DIGEST)
    @settings(max_examples=60)
    def test_a_commitment_should_hash_as_the_protocol_says(self, house, library, job, replica, result, root, salt):
        sender = house.stranger.address
        want = Domain(house.chain_id, library.address).commitment(job, replica, sender, result, root, salt)
        assert library.hashCommitment(job, replica, sender, result, root, salt) == hexed(want)

    def test_the_domains_should_be_what_wallets_are_told(self, house):
        for contract in (house.market, house.nodes, house.settlement):
            fields, name, version, chain_id, verifying, salt, extensions = contract.eip712Domain()
            assert (name, version, chain_id, verifying) == ("Ostraka", "1", house.chain_id, contract.address)
            assert (fields, extensions) == ("0x0f", ())
            assert salt == "0x" + "00" * 32


class TestGivenMoney:
    @given(
        price=st.integers(0, 2**128 - 1),
        protocol=st.integers(0, 5_000),
        royalty=st.integers(0, 1_000),
        orchestrator=st.integers(0, 4_000),
    )
    @settings(max_examples=100)
    def test_fees_should_add_up_to_the_price(self, library, price, protocol, royalty, orchestrator):
        fees = library.takeFees(price, protocol, royalty, orchestrator)
        fees = [int(fee) for fee in fees]
        assert sum(fees) == price
        assert fees[:3] == [price * bps // ALL for bps in (protocol, royalty, orchestrator)]

    @given(slashed=st.integers(0, 2**96 - 1), bps=st.integers(0, ALL), cap=st.integers(0, 2**96 - 1))
    @settings(max_examples=100)
    def test_a_slash_should_be_divided_as_the_model_says(self, library, slashed, bps, cap):
        challenger, requester, burnt = library.splitSlash(slashed, bps, cap)
        want = Rules.divide(slashed, bps, cap)
        assert (challenger, requester, burnt) == (want.credits["challenger"], want.credits["requester"], want.burnt)
        assert challenger + requester + burnt == slashed
        assert requester <= cap

    @given(rules=RULES, price=PRICES, cuts=st.sets(st.integers(1, ALL - 1), max_size=7), data=st.data())
    @settings(max_examples=100)
    def test_a_replicas_pay_should_be_divided_among_its_stages_as_the_model_says(self, library, rules, price, cuts, data):
        """With or without a guilty one, whose part the others do not share: its price is refunded before."""
        ends = [0, *sorted(cuts), ALL]
        bps = [stop - start for start, stop in zip(ends, ends[1:])]
        guilty = data.draw(st.none() | st.integers(0, len(bps) - 1))
        paid = {f"stage {i}": share for i, share in enumerate(bps) if i != guilty}
        want = rules.pay(price, list(paid.items())).credits
        protocol, royalty, orchestrator, work = library.takeFees(
            price, rules.protocol_bps, rules.royalty_bps, rules.orchestrator_bps
        )
        all_bps = ALL - (0 if guilty is None else bps[guilty])
        got = {who: int(library.stageShare(work, share, all_bps)) for who, share in paid.items()}
        assert got == {who: want[who] for who in paid}
        assert (royalty, orchestrator) == (want["publisher"], want["orchestrator"])
        assert protocol + work - sum(got.values()) == want["treasury"]

    @given(
        rules=RULES,
        price_per_job=st.integers(0, 2**60 - 1),
        jobs=st.integers(1, 128),
        seats=st.integers(1, 7),
        data=st.data(),
    )
    @settings(max_examples=100)
    def test_an_epochs_escrow_should_be_divided_as_the_model_says(self, library, rules, price_per_job, jobs, seats, data):
        voided, count = data.draw(st.integers(0, jobs)), data.draw(st.integers(0, seats))
        winners = [f"seat {seat}" for seat in range(count)]
        want = rules.epoch(price_per_job, jobs, voided, seats, winners).credits
        escrow = seats * jobs * price_per_job
        price, refund = library.splitEpoch(escrow, jobs, voided, price_per_job, count)
        fees = library.takeFees(price, rules.protocol_bps, rules.royalty_bps, rules.orchestrator_bps)
        protocol, royalty, orchestrator, work = [count * int(part) for part in fees]
        assert refund == want["requester"]
        assert (protocol, royalty, orchestrator) == (want["treasury"], want["publisher"], want["orchestrator"])
        assert [int(fees[3])] * count == [want[who] for who in winners]
        assert refund + protocol + royalty + orchestrator + work == escrow

    @given(rules=RULES, stake=STAKES, max_price=st.integers(0, 2**80 - 1))
    @settings(max_examples=100)
    def test_a_fraud_should_cost_the_job_lock_and_a_share_of_the_rest(self, library, rules, stake, max_price):
        """The vault takes no more than there is."""
        slashed, want = rules.fraud(stake, max_price)
        asked = library.fraudSlash(stake, rules.job_lock(max_price), rules.slash_bps)
        assert min(int(asked), stake) == slashed
        challenger, requester, burnt = library.splitSlash(slashed, rules.challenger_bps, max_price)
        assert (challenger, requester, burnt) == (want.credits["challenger"], want.credits["requester"], want.burnt)

    @given(pot=STAKES, count=st.integers(0, 22))
    @settings(max_examples=100)
    def test_a_pot_should_be_divided_among_jurors_as_the_model_says(self, library, pot, count):
        jurors = [f"juror {i}" for i in range(count)]
        want = Rules.jury(pot, jurors).credits
        share, left = library.splitPot(pot, count)
        assert ([share] * count, left) == ([want[juror] for juror in jurors], want["treasury"])
        assert share * count + left == pot

    @given(rules=RULES, paid=st.integers(0, 2**128 - 1))
    @settings(max_examples=100)
    def test_a_vouchers_fee_should_be_what_the_model_says(self, library, rules, paid):
        want = rules.voucher(paid).credits
        fee = library.bps(paid, rules.protocol_bps)
        assert (fee, paid - fee) == (want["treasury"], want["receiver"])
