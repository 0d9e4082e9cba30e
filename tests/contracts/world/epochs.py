"""Epochs by a driver of their own: a second vault with the EpochSettler as a module, over the world's token and models."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from brownie import web3
from eth_abi import encode
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils import keccak

from .actors import Actor, Node
from .gas import bare
from .market import (
    BLOCKS,
    JAIL,
    MODEL,
    NOBODY,
    POSSESSION,
    PRICE,
    RULES,
    STAKE,
    STAKE_RATIO,
    UNBONDING,
    World,
    now,
)
from .money import Ledger
from .signing import sign
from .trace import proof_of, root_of, sha

NONE, COMMITTING, REVEALING, CONTESTED, SETTLED, REFUNDED = range(6)
GRACE = 120
JOBS = 5
UNITS = 4
JOB_PRICE = UNITS * PRICE + 7  # not divisible by much: what divisions leave over must not get lost
WINDOW = 500
OMITTED = bytes(32)
FIELDS = (
    ("requester", "address"),
    ("orchestrator", "address"),
    ("modelId", "bytes32"),
    ("inputsRoot", "bytes32"),
    ("jobs", "uint16"),
    ("unitsPerJob", "uint32"),
    ("pricePerJob", "uint80"),
    ("nodeIds", "uint64[]"),
    ("commitDeadline", "uint64"),
    ("nonce", "uint256"),
)


COMMIT_FIELDS = (("epochId", "bytes32"), ("seat", "uint8"), ("commitment", "bytes32"))


def message(contract, order: tuple, chain_id: int | None = None) -> SignableMessage:
    return _message(contract, "EpochOrder", FIELDS, order, chain_id)


def commit_message(contract, epoch_id: bytes, seat: int, seal: bytes, chain_id: int | None = None) -> SignableMessage:
    return _message(contract, "EpochCommit", COMMIT_FIELDS, (epoch_id, seat, seal), chain_id)


def _message(contract, primary: str, fields: tuple, values: tuple, chain_id: int | None) -> SignableMessage:
    domain = {
        "name": "Ostraka",
        "version": "1",
        "chainId": chain_id or web3.eth.chain_id,
        "verifyingContract": contract.address,
    }
    types = {primary: [{"name": name, "type": kind} for name, kind in fields]}
    return encode_typed_data(domain, types, dict(zip([name for name, _ in fields], values, strict=True)))


def digest(said: SignableMessage) -> bytes:
    return keccak(b"\x19" + said.version + said.header + said.body)


def commitment(epoch_id: bytes, seat: int, root: bytes, salt: bytes) -> bytes:
    tag = keccak(b"ostraka/epoch-commit/1")
    return keccak(encode(["bytes32", "bytes32", "uint8", "bytes32", "bytes32"], [tag, epoch_id, seat, root, salt]))


def right(jobs: int = JOBS) -> list[bytes]:
    """The result hashes that honest machines agree on."""
    return [sha(b"result", job.to_bytes(2, "big")) for job in range(jobs)]


def wrong(*at: int, jobs: int = JOBS, how: bytes = b"wrong") -> list[bytes]:
    return [sha(how, leaf) if job in at else leaf for job, leaf in enumerate(right(jobs))]


def without(*at: int, jobs: int = JOBS) -> list[bytes]:
    return [OMITTED if job in at else leaf for job, leaf in enumerate(right(jobs))]


class Epochs:
    """Deploys, and lets `operators` serve the model whole."""

    def __init__(self, world: World, operators: int = 7, token=None) -> None:
        self.world, self.token = world, token or world.token
        deploy, project, by = world.deployer.account.deploy, world.project, world.deployer.pays
        self.vault = deploy(project.StakeVault, self.token, UNBONDING, NOBODY)
        self.nodes = deploy(project.NodeRegistry, self.vault, JAIL)
        self.shards = deploy(project.ShardRegistry, self.nodes, world.models, self.vault, STAKE_RATIO, POSSESSION)
        settler = deploy(project.JobSettler, self.shards, world.params, world.treasury.address)
        self.market = deploy(project.JobMarket, settler)
        self.settler = deploy(project.EpochSettler, self.market, GRACE)
        self.vault.initialize([self.market, self.nodes, self.settler], by)
        self.nodes.initialize(self.shards, self.market, by)
        self.market.setOrchestrator(world.orchestrator.address, True, by)
        self.token.approve(self.settler, 2**256 - 1, world.requester.pays)
        self.team = [self.serve(world.actors[7 + i], world.actors[15 + i]) for i in range(operators)]
        self.ids: list[bytes] = []

    def serve(self, operator: Actor, signer: Actor, stop: int = BLOCKS) -> Node:
        self.token.transfer(operator.address, STAKE, self.world.deployer.pays)
        self.token.approve(self.vault, 2**256 - 1, operator.pays)
        domain = {
            "name": "Ostraka",
            "version": "1",
            "chainId": self.world.chain_id,
            "verifyingContract": self.nodes.address,
        }
        types = {"Signer": [{"name": "operator", "type": "address"}, {"name": "signer", "type": "address"}]}
        said = encode_typed_data(domain, types, {"operator": operator.address, "signer": signer.address})
        self.nodes.register(signer.address, "127.0.0.1:9000", sign(signer.key, said), STAKE, operator.pays)
        node = Node(self.nodes.nodeCount(), operator, signer)
        self.shards.claim(node.id, MODEL, 0, stop, operator.pays)
        return node

    def order(self, seats: int = 3, window: int = WINDOW, **changes) -> tuple:
        values = {
            "requester": self.world.requester.address,
            "orchestrator": self.world.orchestrator.address,
            "modelId": MODEL,
            "inputsRoot": sha(b"inputs"),
            "jobs": JOBS,
            "unitsPerJob": UNITS,
            "pricePerJob": JOB_PRICE,
            "nodeIds": [node.id for node in self.team[:seats]],
            "commitDeadline": now() + 1 + window,
            "nonce": len(self.ids),
        } | changes
        return tuple(values[name] for name, _ in FIELDS)

    def signatures(self, order: tuple, contract=None, chain_id: int | None = None) -> tuple[bytes, list[bytes]]:
        said = message(contract or self.settler, order, chain_id)
        signers = {node.id: node.signer for node in self.team}
        nodes = [sign(signers[node].key, said) for node in order[7] if node in signers]
        return sign(self.world.orchestrator.key, said), nodes

    def send(self, order: tuple, signatures: tuple | None = None, by: Actor | None = None):
        return self.settler.open(order, *(signatures or self.signatures(order)), (by or self.world.requester).pays)

    def open(self, seats: int = 3, team: list[Node] | None = None, **changes) -> Epoch:
        team = team or self.team[:seats]
        order = self.order(seats, nodeIds=[node.id for node in team], **changes)
        sent = self.send(order)
        epoch = Epoch(self, order, digest(message(self.settler, order)), team, sent)
        self.ids.append(epoch.id)
        return epoch

    # ── looking at it ──

    def balance(self, actor: Actor) -> int:
        return self.settler.balanceOf(actor.address)

    def balances(self) -> dict[str, int]:
        """By role, operators by seat; without those who are owed nothing."""
        world = self.world
        named = {
            name: getattr(world, name) for name in ("requester", "publisher", "treasury", "challenger", "orchestrator")
        }
        named |= {f"seat {i}": node.operator for i, node in enumerate(self.team)}
        return {name: owed for name, actor in named.items() if (owed := self.balance(actor))}

    def stakes(self) -> list[int]:
        return [self.vault.account(node.operator.address)["staked"] for node in self.team]

    def locks(self) -> list[int]:
        return [self.vault.account(node.operator.address)["locked"] for node in self.team]

    def scores(self) -> list[int]:
        return [self.vault.scoreOf(node.operator.address) for node in self.team]

    def check_conserved(self) -> None:
        token = self.token
        owed = sum(self.balance(actor) for actor in self.world.actors[:15])  # nobody owes a signer anything
        escrows = sum(self.settler.epoch(epoch_id)["escrow"] for epoch_id in self.ids)
        assert token.balanceOf(self.settler) == owed + escrows, "the settler holds what it owes"
        accounts = [self.vault.account(node.operator.address) for node in self.team]
        staked = sum(account["staked"] + account["unbonding"] for account in accounts)
        assert token.balanceOf(self.vault) == staked, "the vault holds what it owes"


@dataclass
class Epoch:
    epochs: Epochs
    order: tuple
    id: bytes
    team: list[Node]
    sent: object  # the transaction that opened it
    leaves: dict[int, list[bytes]] = field(default_factory=dict)

    @property
    def view(self):
        return self.epochs.settler.epoch(self.id)

    @property
    def state(self) -> int:
        return self.view["state"]

    @property
    def jobs(self) -> int:
        return self.order[4]

    @property
    def price(self) -> int:
        """What one seat costs."""
        return self.jobs * self.order[6]

    @property
    def escrow(self) -> int:
        return self.price * len(self.team)

    @property
    def lock(self) -> int:
        return RULES.job_lock(self.price)

    @property
    def deadline(self) -> int:
        return self.order[8]

    def salt(self, seat: int) -> bytes:
        return sha(b"salt", self.id, bytes([seat]))

    def root(self, seat: int) -> bytes:
        return root_of(self.leaves[seat])

    def commitment(self, seat: int) -> bytes:
        return commitment(self.id, seat, self.root(seat), self.salt(seat))

    def sealed(self, seat: int, seal: bytes | None = None, signer: Actor | None = None) -> tuple:
        seal = seal or self.commitment(seat)
        said = commit_message(self.epochs.settler, self.id, seat, seal)
        return (seat, seal, sign((signer or self.team[seat].signer).key, said))

    def revealed(self, seat: int) -> tuple:
        return (seat, self.root(seat), self.salt(seat), sha(*self.leaves[seat]))

    def commit(
        self, seat: int, leaves: list[bytes] | None = None, seal: bytes | None = None, signer: Actor | None = None
    ):
        self.leaves[seat] = leaves or right(self.jobs)
        sealed = self.sealed(seat, seal, signer)
        return self.epochs.settler.commit(self.id, [sealed], self.team[seat].signer.pays)

    def commit_all(self, *leaves: list[bytes] | None):
        for seat in range(len(self.team)):
            self.leaves[seat] = (leaves[seat] if seat < len(leaves) else None) or right(self.jobs)
        sealed = [self.sealed(seat) for seat in self.leaves]
        return self.epochs.settler.commit(self.id, sealed, self.epochs.world.orchestrator.pays)

    def reveal(self, *seats: int, **changes):
        """`changes` forge single fields of all that is revealed."""
        names = ("seat", "root", "salt", "digest")
        roots = [tuple((dict(zip(names, self.revealed(seat), strict=True)) | changes).values()) for seat in seats]
        return self.epochs.settler.reveal(self.id, roots, self.epochs.world.stranger.pays)

    def run(self, *leaves: list[bytes] | None) -> None:
        """Commits and reveals."""
        self.commit_all(*leaves)
        self.reveal(*self.leaves)

    def settle(self, by: Actor | None = None):
        return self.epochs.settler.settle(self.order, (by or self.epochs.world.orchestrator).pays)

    def opening(self, seat: int, job: int) -> tuple:
        leaves = self.leaves[seat]
        return (seat, leaves[job], proof_of(leaves, job))

    def conflict(self, job: int, *seats: int, by: Actor | None = None):
        openings = [self.opening(seat, job) for seat in seats or sorted(self.leaves)]
        return self.epochs.settler.conflict(self.order, job, openings, (by or self.epochs.world.challenger).pays)

    # ── what should come of it ──

    def paid(self, *seats: int, jobs: int | None = None) -> Ledger:
        """Credits of an epoch in which `seats` are paid for so many jobs, and the rest returns."""
        price = (self.jobs if jobs is None else jobs) * self.order[6]
        ledger = Ledger()
        for seat in seats:
            ledger += RULES.pay(price, [(f"seat {seat}", 10_000)])
        return ledger + Ledger(Counter(requester=self.escrow - price * len(seats)))

    def slashed(self, challenged: bool) -> Ledger:
        """What one lost lock adds to that."""
        return RULES.divide(self.lock, RULES.challenger_bps if challenged else 0, self.price)


def measure(world: World) -> int:
    """Gas a job of an epoch of 128 jobs on three workers, all of it: opening, commits, reveals, settling and three
    withdrawals; commits and reveals sent together, as an orchestrator does. The second epoch of the same accounts; less what
    the four transfers of the token take.
    """
    epochs = Epochs(world, operators=3)
    world.others.extend([epochs.vault.address, epochs.settler.address])
    steps = [steps_of_one(epochs) for _ in range(2)][-1]
    epochs.check_conserved()
    return sum(steps.values()) // 128


def steps_of_one(epochs: Epochs) -> dict[str, int]:
    token = epochs.world.token
    epoch = epochs.open(jobs=128)
    return {
        "open": bare(epoch.sent, token),
        "commit": epoch.commit_all().gas_used,
        "reveal": epoch.reveal(0, 1, 2).gas_used,
        "settle": epoch.settle().gas_used,
        "withdrawals": sum(bare(epochs.settler.withdraw(node.operator.pays), token) for node in epoch.team),
    }
