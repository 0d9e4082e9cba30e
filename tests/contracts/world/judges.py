"""A deployment with the real adjudicator, and a committee that behaves as a test wishes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from eth_abi import encode
from eth_utils import keccak

from .actors import Actor
from .lots import mine
from .market import (
    BLOCKS,
    MODEL,
    OSTR,
    Job,
    World,
    honest,
    next_block_at,
)
from .products import Products, WeightRow, honest_products
from .trace import proof_of, root_of, sha

LIFETIME, ROUND, MIN_WEIGHT = 16, 16, 2
SEATS, APPEAL_SEATS = 3, 5
SEAT, COMMIT, REVEAL, APPEAL, CLOSE, PROOF = 90, 200, 150, 120, 30, 60
JUROR_BOND, APPEAL_BOND = OSTR + 1, 3 * OSTR + 2
RULES = (SEATS, APPEAL_SEATS, SEAT, COMMIT, REVEAL, APPEAL, CLOSE, PROOF, JUROR_BOND, APPEAL_BOND)
WINDOW = 2 * (SEAT + COMMIT + REVEAL) + APPEAL + CLOSE
LOSER, WINNER = range(2)
WRONG_BLOCK = 2
K = 40


class JudgedWorld(World):
    """As World, but with lots and judges. The vault names its modules once, so all is deployed anew."""

    def deploy_adjudicator(self, deploy) -> list:
        self.randomness = deploy(self.project.BlockRandomness, 1, LIFETIME)
        self.sortition = deploy(self.project.Sortition, self.vault, self.randomness, ROUND, MIN_WEIGHT)
        self.adjudicator = deploy(self.project.Adjudicator, self.market, self.sortition, RULES)
        return [self.adjudicator]

    def __init__(self, project) -> None:
        super().__init__(project)
        self.adjudicator.initialize(self.court, self.deployer.pays)
        for actor in (self.challenger, self.stranger):
            self.fund(actor, 20 * OSTR, self.court)
            self.token.approve(self.adjudicator, 2**256 - 1, actor.pays)

        # Three serve as replicas below; eight others may be jurors, of as much stake each.
        self.jurors = [node.operator for node in self.serving[3:]] + [self.publisher, self.requester, self.orchestrator]
        for actor in self.jurors[5:]:
            self.stake(actor, 10 * OSTR)
        for actor in self.jurors:
            self.sortition.join(actor.pays)
        mine(ROUND)
        self.weights = weight_rows()
        self.publish_weights()

    def serve_another(self, name: bytes) -> bytes:
        """A model without published weights, on the three nodes that serve as replicas."""
        model = sha(name)
        self.publish(model)
        for node in self.serving[:3]:
            self.shards.claim(node.id, model, 0, BLOCKS, node.operator.pays)
        return model

    def check_conserved(self) -> None:
        """As World's; the adjudicator holds what it owes too."""
        held = self.token.balanceOf(self.adjudicator)
        owed = self.adjudicator.openBonds() + sum(self.adjudicator.balanceOf(actor.address) for actor in self.actors)
        assert held == owed, "the adjudicator holds what it owes"
        self.others.append(self.adjudicator.address)
        super().check_conserved()

    def publish_weights(self, model: bytes = MODEL, by: Actor | None = None, root: bytes | None = None):
        root = root or root_of([row.value for row in self.weights])
        return self.adjudicator.publishWeights(model, root, (by or self.publisher).pays)


def weight_rows(seed: int = 1, length: int = K) -> list[WeightRow]:
    """Two matrices of three rows in each block."""
    dice = random.Random(seed)
    return [
        WeightRow(block, op, row, tuple(dice.randrange(-128, 128) for _ in range(length)))
        for block in range(BLOCKS)
        for op in range(2)
        for row in range(3)
    ]


def products_of(world: JudgedWorld, block: int = WRONG_BLOCK, length: int = K) -> Products:
    dice = random.Random(2)
    inputs = {op: tuple(dice.randrange(-127, 128) for _ in range(length)) for op in range(2)}
    return honest_products(world.weights, block, inputs)


@dataclass
class Quarrel:
    """Replica 2 against replica 0 about block 2 at position 6, contested by the stranger."""

    world: JudgedWorld
    job: Job

    @property
    def id(self) -> int:
        return self.job.id << 8 | 2

    @property
    def case(self):
        return self.world.adjudicator.caseOf(self.id)

    def round(self, index: int | None = None):
        return self.world.adjudicator.roundOf(self.id, self.case["round"] if index is None else index)

    def sealed(self, side: int) -> tuple:
        return self.job.done[2 if side == LOSER else 0].sealed

    def signer(self, side: int) -> Actor:
        return self.world.serving[2 if side == LOSER else 0].signer

    def post(self, side: int, products: Products | bytes, by: Actor | None = None, sealed: tuple | None = None):
        root = products if isinstance(products, bytes) else products.root
        sender = by or self.signer(side)
        return self.world.adjudicator.postTrace(self.id, side, root, sealed or self.sealed(side), sender.pays)

    def prove(self, side: int, leaf: tuple):
        return self.world.adjudicator.proveLeaf(self.id, side, leaf, self.world.stranger.pays)

    def seat(self):
        return self.world.adjudicator.seat(self.id, self.sealed(LOSER), self.sealed(WINNER), self.world.stranger.pays)

    def seats(self, index: int | None = None) -> list[Actor]:
        """The jurors, in the order of their seats."""
        number = self.case["round"] if index is None else index
        found = [self.world.adjudicator.seatOf(self.id, number, i)[0] for i in range(self.round(number)["seated"])]
        return [next(actor for actor in self.world.actors if actor.address == address) for address in found]

    def hash(self, seat: int, sender: Actor, vote: int, number: int | None = None) -> bytes:
        number = self.case["round"] if number is None else number
        contract = self.world.adjudicator.address
        domain = keccak(encode(["string", "uint256", "address"], ["ostraka/vote/1", self.world.chain_id, contract]))
        kinds = ["bytes32", "uint256", "uint8", "uint256", "address", "uint8", "bytes32"]
        return keccak(encode(kinds, [domain, self.id, number, seat, sender.address, vote, salt_of(sender)]))

    def commit(self, seat: int, vote: int, by: Actor | None = None, commitment: bytes | None = None):
        sender = by or self.seats()[seat]
        return self.world.adjudicator.commitVote(
            self.id, seat, commitment or self.hash(seat, sender, vote), sender.pays
        )

    def reveal(self, seat: int, vote: int, by: Actor | None = None, salt: bytes | None = None):
        sender = by or self.seats()[seat]
        return self.world.adjudicator.revealVote(self.id, seat, vote, salt or salt_of(sender), sender.pays)

    def vote(self, *votes: int | None) -> None:
        """Each seat commits and reveals; None is silent."""
        for seat, vote in enumerate(votes):
            if vote is not None:
                self.commit(seat, vote)
        if None in votes:
            next_block_at(self.round()["commitBy"])
        for seat, vote in enumerate(votes):
            if vote is not None:
                self.reveal(seat, vote)

    def wait_out_appeal(self) -> None:
        next_block_at(self.round(0)["revealBy"] + APPEAL)

    def close(self):
        return self.world.adjudicator.close(self.id, self.world.stranger.pays)

    def appeal(self, by: Actor | None = None):
        return self.world.adjudicator.appeal(self.id, (by or self.world.challenger).pays)


def salt_of(actor: Actor) -> bytes:
    return sha(b"salt", actor.address.encode())


def disagree(world: JudgedWorld, model: bytes = MODEL) -> Job:
    """Three replicas of one node each; replica 2 is outvoted, from position 6 on it differs behind block 2."""
    job = world.submit(model=model)
    for index, trace in enumerate((None, None, honest().wrong_at(6, WRONG_BLOCK + 1))):
        job.commit(index, trace, nodes=[world.serving[index]])
    job.reveal_all()
    job.finalize()
    return job


def quarrel(world: JudgedWorld, model: bytes = MODEL) -> Quarrel:
    job = disagree(world, model)
    job.pinpoint(2, 0, 6)
    world.court.contest(job.proof(2, 0, 6), world.stranger.pays)
    return Quarrel(world, job)


def measure(world: JudgedWorld) -> dict[str, int]:
    """Gas of whole transactions. The leaf: 4096 products under a million weight rows and 65 536 claims."""
    world.weights = weight_rows(length=4096)
    weights_root, weight_proof = lengthen([row.value for row in world.weights], WRONG_BLOCK * 6, 20)
    model = world.serve_another(b"wide")
    world.publish_weights(model, root=weights_root)
    case = quarrel(world, model)
    wrong = products_of(world, length=4096).wrong_at(0)
    root, claim_proof = lengthen([claim.value for claim in wrong.claims], 0, 16)
    case.post(WINNER, root)
    leaf = wrong.leaf(0, weight_proof=weight_proof, claim_proof=claim_proof)
    return {"leaf_4096": case.prove(WINNER, leaf).gas_used}


def lengthen(values: list[bytes], index: int, depth: int) -> tuple[bytes, list[bytes]]:
    """Root and proof as in a tree of 2^depth values, of which these are the first."""
    root, proof = root_of(values), proof_of(values, index)
    while len(proof) < depth:
        proof.append(sha(b"other", bytes([len(proof)])))
        root = sha(b"\x01", root, proof[-1])
    return root, proof
