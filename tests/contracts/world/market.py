"""A deployment of all contracts, and jobs on it that behave as a test wishes."""

from __future__ import annotations

from dataclasses import dataclass, field

from brownie import web3

from .actors import Actor, Node, all_actors
from .money import Rules
from .signing import Domain, sign
from .trace import Trace, honest_trace, sha

OSTR = 10**18
SUPPLY = 10**12 * OSTR  # more than a vault account can hold, so that its limit is tested
BLOCKS = 4
CUT = 2
MAX_UNITS = 16
PRICE = 1_234_567 * 10**9  # whole gwei, as it must be; what is left over by divisions is tested in test_hashes.py
ROYALTY_BPS = 333
STAKE = 10 * OSTR
STAKE_RATIO = 100
UNBONDING = 5_000
JAIL = 700
POSSESSION = (400, 300, OSTR // 10, OSTR // 2, 1_000)  # window, cooldown, bond, least slash, share slashed
PARAMS = (200, 300, 10, 5_000, 3_000, 10, 86_400, 300, 600, 200, 1_000)
MIN_WINDOW, MAX_WINDOW, REVEAL_WINDOW, CHALLENGE_WINDOW, RESPONSE_WINDOW, BOND_BPS = PARAMS[5:]
RULES = Rules(PARAMS[0], ROYALTY_BPS, *PARAMS[1:5])
SEED_DELAY, SEED_LIFETIME = 1, 8
# least stake, epoch, takeover, unbonding, places
TERMS = (5 * OSTR, 1_000, 60, 2_500, 3)
MIN_STAKE, EPOCH, TAKEOVER, ORCHESTRATOR_UNBONDING, PLACES = TERMS
MODEL = sha(b"manifest")
INPUT = sha(b"input")

NONE, OPEN, COMMITTING, REVEALING, AGREED, FINAL, CANCELLED, FAILED, REPLACING, DISPUTED, OVERTURNED = range(11)
R_NONE, R_COMMITTED, R_REVEALED, R_WON, R_OUTVOTED, R_JUDGED = range(6)
D_NONE, D_OPENED, D_RESPONDING, D_PINPOINTED, D_ADJUDICATING, D_RESOLVED, D_SETTLED = range(7)
V_NONE, V_LOSER, V_WINNER, V_BOTH, V_NOBODY = range(5)
EXACT, TOLERANT = range(2)
NOBODY = "0x" + "00" * 20
NOTHING = (bytes(32), [])  # a replica that did not commit, or one that is not looked at
N_NONE, N_PENDING, N_ACTIVE, N_DRAINING, N_EXITING, N_EXITED, N_JAILED = range(7)


def honest(units: int = 10) -> Trace:
    """What the model really computes on the input."""
    return honest_trace(MODEL, INPUT, units, BLOCKS)


def now() -> int:
    return web3.eth.get_block("latest")["timestamp"]


def next_block_at(timestamp: int) -> None:
    """The next transaction happens at this very second. (Each chain block is a second younger than the last.)"""
    if timestamp - 1 > now():
        web3.provider.make_request("evm_mine", [timestamp - 1])
    assert now() == timestamp - 1, "time runs one way only"


class World:
    def __init__(self, project) -> None:
        actors = all_actors()
        (self.deployer, self.requester, self.publisher, self.treasury) = actors[:4]
        (self.challenger, self.stranger, self.orchestrator) = actors[4:7]
        operators, signers = actors[7:15], actors[15:23]
        self.spare_key = actors[23]
        self.actors = actors
        self.others: list[str] = []  # contracts of a single test that hold tokens too
        self.project = project
        self.chain_id = web3.eth.chain_id

        deploy = self.deployer.account.deploy
        self.token = deploy(project.OstrakaToken, self.deployer.address, SUPPLY)
        to_come = self.deployer.account.get_deployment_address(self.deployer.account.nonce + 6)
        self.vault = deploy(project.StakeVault, self.token, UNBONDING, to_come)
        self.nodes = deploy(project.NodeRegistry, self.vault, JAIL)
        self.models = deploy(project.ModelRegistry)
        self.shards = deploy(project.ShardRegistry, self.nodes, self.models, self.vault, STAKE_RATIO, POSSESSION)
        self.params = deploy(project.Params, PARAMS)
        self.settler = deploy(project.JobSettler, self.shards, self.params, self.treasury.address)
        self.market = deploy(project.JobMarket, self.settler)
        assert self.market.address == to_come == self.vault.market()
        self.settlement = deploy(project.SignedSettlement, self.market)
        modules = [self.nodes, self.shards, *self.deploy_adjudicator(deploy)]
        self.court = deploy(project.DisputeCourt, self.market, self.adjudicator)
        self.dice = deploy(project.BlockRandomness, SEED_DELAY, SEED_LIFETIME)
        self.guild = deploy(project.Orchestrators, self.market, self.dice, TERMS)
        self.auditor = deploy(project.Auditor)
        self.vault.initialize(modules, self.deployer.pays)
        self.market.initialize(self.court, self.settlement, self.guild, self.deployer.pays)
        self.nodes.initialize(self.shards, self.market, self.deployer.pays)
        self.market.setOrchestrator(self.orchestrator.address, True, self.deployer.pays)
        self.market_domain = Domain(self.chain_id, self.market.address)
        self.settlement_domain = Domain(self.chain_id, self.settlement.address)
        self.nodes_domain = Domain(self.chain_id, self.nodes.address)

        self.publish(MODEL)
        self.fund(self.requester, 1_000 * OSTR, self.market)
        self.serving = [
            self.serve(operator, signer) for operator, signer in zip(operators, signers, strict=True)
        ]

    # ── setting the scene ──

    def deploy_adjudicator(self, deploy) -> list:
        """One that says what it is told to. Returns what must be a module of the vault."""
        self.adjudicator = deploy(self.project.FixedAdjudicator)
        return []

    def fund(self, actor: Actor, amount: int, spender=None) -> None:
        self.token.transfer(actor.address, amount, self.deployer.pays)
        if spender is not None:
            self.token.approve(spender, 2**256 - 1, actor.pays)

    def publish(self, model_id: bytes, by: Actor | None = None, **changes):
        values = {
            "shard_root": sha(b"shards"),
            "blocks": BLOCKS,
            "max_units": MAX_UNITS,
            "price": PRICE,
            "royalty_bps": ROYALTY_BPS,
            "profile": EXACT,
            "name": "tiny",
        } | changes
        return self.models.publish(model_id, *values.values(), (by or self.publisher).pays)

    def stake(self, operator: Actor, amount: int) -> None:
        self.fund(operator, amount, self.vault)
        self.vault.stake(amount, operator.pays)

    def register(self, operator: Actor, signer: Actor, endpoint: str = "127.0.0.1:9000", proof: bytes | None = None, stake: int = 0):
        if proof is None:
            proof = sign(signer.key, self.nodes_domain.signer(operator.address, signer.address))
        return self.nodes.register(signer.address, endpoint, proof, stake, operator.pays)

    def serve(self, operator: Actor, signer: Actor, start: int = 0, stop: int = BLOCKS) -> Node:
        """An operator with stake and one active node."""
        self.stake(operator, STAKE)
        self.register(operator, signer)
        node = Node(self.nodes.nodeCount(), operator, signer)
        self.shards.claim(node.id, MODEL, start, stop, operator.pays)
        return node

    def submit(self, replicas: int = 3, window: int = 1_000, **changes) -> Job:
        values = {
            "model": MODEL,
            "input": INPUT,
            "replicas": replicas,
            "max_units": MAX_UNITS,
            "price_cap": replicas * MAX_UNITS * PRICE + 5,
            "deadline": now() + 1 + window,
            "orchestrator": self.orchestrator.address,
        } | changes
        sent = self.market.submit(tuple(values.values()), self.requester.pays)
        job_id = sent.events["JobSubmitted"]["jobId"]
        return Job(self, job_id, replicas, values["max_units"], values["deadline"], values["price_cap"], sent)

    # ── looking at it ──

    def balance(self, who: Actor | str) -> int:
        return self.market.balanceOf(who if isinstance(who, str) else who.address)

    def short_id(self, operator: Actor) -> int:
        return self.vault.operatorIdOf(operator.address)

    def staked(self, who: Actor) -> int:
        """Everything that can be slashed."""
        staked, _, unbonding, _ = self.vault.account(who.address)
        return staked + unbonding

    def status(self, node: Node) -> int:
        return self.nodes.statusOf(node.id)

    def balances(self) -> dict[str, int]:
        """By role; operators by the id of their node."""
        named = {name: getattr(self, name) for name in ("requester", "publisher", "treasury", "challenger", "orchestrator")}
        named |= {f"node {node.id}": node.operator for node in self.serving}
        return {name: self.balance(actor) for name, actor in named.items()}

    def check_conserved(self) -> None:
        """No token appears or vanishes; each contract holds what it owes; no lock exceeds its stake."""
        addresses = [actor.address for actor in self.actors] + self.others
        market_held, market_owed = self.auditor.auditMarket(self.market, addresses)
        assert market_held == market_owed, "the market holds what it owes"
        vault_held, vault_owed, locks_fit = self.auditor.auditVault(self.vault, addresses)
        assert vault_held == vault_owed, "the vault holds what it owes"
        assert locks_fit, "nobody has more locked than staked"
        court_held, court_owed = self.auditor.auditCourt(self.court, addresses)
        assert court_held == court_owed, "the court holds what it owes"
        wallets = self.auditor.wallets(self.market, addresses)
        assert wallets + market_held + vault_held + court_held == self.token.totalSupply(), "tokens are somewhere, or burnt"


@dataclass
class Replica:
    nodes: list[Node]
    stages: list[tuple[int, int, int, int]]
    trace: Trace
    salt: bytes
    commitment: bytes

    @property
    def lead(self) -> Actor:
        return self.nodes[0].signer

    @property
    def sealed(self) -> tuple:
        return (self.commitment, self.stages)


@dataclass
class Job:
    world: World
    id: int
    replicas: int
    max_units: int
    deadline: int
    price_cap: int
    sent: object  # the transaction that submitted it
    done: dict[int, Replica] = field(default_factory=dict)

    @property
    def view(self):
        return self.world.market.job(self.id)

    @property
    def state(self) -> int:
        return self.view["state"]

    @property
    def price(self) -> int:
        """What one replica costs."""
        return self.result[0] * PRICE

    @property
    def max_price(self) -> int:
        return self.max_units * PRICE

    @property
    def lock(self) -> int:
        return RULES.job_lock(self.max_price)

    def nodes_of(self, index: int) -> list[Node]:
        return self.world.serving[2 * index : 2 * index + 2]

    def plan(self, index: int, trace: Trace | None = None, nodes: list[Node] | None = None, stages=None) -> Replica:
        """A replica that would be accepted: two stages by default, of unequal pay."""
        nodes = nodes or self.nodes_of(index)
        if stages is None:
            one = [(nodes[0].id, 0, BLOCKS, 10_000)]
            two = [(nodes[0].id, 0, CUT, 6_667), (nodes[-1].id, CUT, BLOCKS, 3_333)]
            stages = one if len(nodes) == 1 else two
        trace = trace or honest()
        salt = sha(b"salt", bytes([index]))
        lead = nodes[0].signer.address
        commitment = self.world.market_domain.commitment(self.id, index, lead, trace.hash, trace.root, salt)
        return Replica(nodes, stages, trace, salt, commitment)

    def signatures(
        self, index: int, replica: Replica, domain: Domain | None = None, by: Actor | None = None
    ) -> tuple[bytes, list[bytes]]:
        """The orchestrator's, and those of all nodes but the lead, which sends."""
        domain = domain or self.world.market_domain
        assignment = domain.assignment(self.id, index, replica.stages)
        attestation = domain.attestation(bytes(assignment.body), replica.commitment)
        return (
            sign((by or self.world.orchestrator).key, assignment),
            [sign(node.signer.key, attestation) for node in replica.nodes[1:]],
        )

    def commit(self, index: int, trace: Trace | None = None, by: Actor | None = None, **plan):
        """`by` is the orchestrator that signs."""
        replica = self.plan(index, trace, **plan)
        return self.send_commit(index, replica, *self.signatures(index, replica, by=by))

    def send_commit(self, index: int, replica: Replica, orchestrator_signature, node_signatures, sender=None):
        sent = self.world.market.commit(
            self.id,
            index,
            replica.stages,
            orchestrator_signature,
            node_signatures,
            replica.commitment,
            (sender or replica.lead).pays,
        )
        self.done[index] = replica
        return sent

    def commit_all(self, *traces: Trace | None) -> None:
        for index in range(self.replicas):
            self.commit(index, traces[index] if index < len(traces) else None)

    def assignment(self, index: int) -> bytes:
        return bytes(self.world.market_domain.assignment(self.id, index, self.done[index].stages).body)

    def reveal(self, index: int, sender: Actor | None = None, **changes):
        replica = self.done[index]
        values = {
            "assignment": self.assignment(index),
            "units": replica.trace.units,
            "output": replica.trace.output,
            "root": replica.trace.root,
            "salt": replica.salt,
        } | changes
        return self.world.market.reveal(self.id, index, *values.values(), (sender or replica.lead).pays)

    def reveal_all(self) -> None:
        for index in self.done:
            self.reveal(index)

    @property
    def sealed(self) -> list[tuple]:
        return [self.done[i].sealed if i in self.done else NOTHING for i in range(self.replicas)]

    @property
    def result(self) -> tuple:
        """What most of those who revealed say."""
        revealed = [self.done[i].trace.result for i in self.done if self.view["revealed"] >> i & 1]
        return max(revealed, key=revealed.count, default=(0, bytes(32), bytes(32)))

    def finalize(self, sender: Actor | None = None, result: tuple | None = None, sealed: list | None = None):
        return self.world.market.finalize(
            self.id, result or self.result, self.sealed if sealed is None else sealed, (sender or self.world.stranger).pays
        )

    def run(self, *traces: Trace | None):
        """From commits to the count of votes."""
        self.commit_all(*traces)
        self.reveal_all()
        return self.finalize()

    def proof(self, loser: int, winner: int, position: int, **changes) -> tuple:
        """`changes` forge single fields, under the names below."""
        lost, won = self.done[loser].trace, self.done[winner].trace
        inside = position < min(lost.units, won.units)
        values = {
            "job": self.id,
            "its_loser": loser,
            "its_winner": winner,
            "lost": lost.result,
            "won": won.result,
            "its_position": position,
            "previous": lost.previous(position) if inside else bytes(32),
            "loser_digests": list(lost.rows[position]) if inside else [],
            "winner_digests": list(won.rows[position]) if inside else [],
            "loser_proof": lost.proof(position) if inside else [],
            "winner_proof": won.proof(position) if inside else [],
        } | changes
        return tuple(values.values())

    def pinpoint(self, loser: int, winner: int, position: int, **changes):
        return self.send_proof(self.proof(loser, winner, position, **changes))

    def send_proof(self, proof: tuple):
        return self.world.court.pinpoint(proof, self.world.challenger.pays)

    def dispute(self, loser: int):
        return self.world.court.dispute(self.id, loser)

    def conclude(self, loser: int, winner: int = 0, sender: Actor | None = None):
        sealed = (self.done[loser].sealed, self.done[winner].sealed)
        return self.world.court.conclude(self.id, loser, *sealed, (sender or self.world.stranger).pays)

    def blame(self, loser: int, winner: int, position: int, **changes):
        """A pinpoint that nobody contests, up to its end."""
        self.pinpoint(loser, winner, position, **changes)
        next_block_at(self.dispute(loser)["deadline"])
        return self.conclude(loser)

    def forfeit(self, index: int, sender: Actor | None = None):
        return self.world.court.forfeit(self.id, index, self.done[index].sealed, (sender or self.world.stranger).pays)
