"""What a deployment consists of: transactions in a fixed order, each under a nonce of its own.

A contract's address follows from its deployer and nonce (EIP-161). So all addresses are known before the first transaction is sent,
the nonce tells how far a deployment has come, and the same fresh key makes the same addresses on every chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import rlp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ostraka.chain.artifacts import CONTRACTS, artifact, encode_call
from ostraka.params import Params
from ostraka.types import OSTR

SUPPLY = 1_000_000_000 * OSTR
NOBODY = "0x" + "00" * 20
PAUSABLE = (
    "StakeVault",
    "NodeRegistry",
    "ModelRegistry",
    "ShardRegistry",
    "JobMarket",
    "EpochSettler",
    "Orchestrators",
)
MODULES = (
    "JobMarket",
    "NodeRegistry",
    "ShardRegistry",
    "EpochSettler",
    "Adjudicator",
)  # who may lock, free and slash stake
OWNED = (*PAUSABLE, "Params", "Treasury")


@dataclass(frozen=True)
class Roles:
    """Who may do what once a network is deployed.

    `governor` proposes what the timelock executes; `guardian` may pause entries; both are the deployer where nobody is named.
    """

    orchestrators: Sequence[str] = ()
    governor: str | None = None
    guardian: str | None = None


@dataclass(frozen=True)
class Create:
    """Deploys a contract."""

    name: str
    arguments: tuple[Any, ...] = ()

    @property
    def what(self) -> str:
        return self.name


@dataclass(frozen=True)
class Call:
    """Calls a function of a contract that was deployed before."""

    name: str
    function: str
    arguments: tuple[Any, ...] = ()

    @property
    def what(self) -> str:
        return f"{self.name}.{self.function}"


Step = Create | Call


def create_address(deployer: str, nonce: int) -> str:
    """Where the contract that `deployer` makes under `nonce` will be."""
    packed: bytes = rlp.encode([bytes.fromhex(deployer[2:]), nonce])
    return str(to_checksum_address(keccak(packed)[12:]))


class Plan:
    """All steps of one deployment, for a deployer whose next nonce is `first_nonce`."""

    def __init__(self, deployer: str, first_nonce: int, params: Params, roles: Roles) -> None:
        self.deployer = str(to_checksum_address(deployer))
        self.first_nonce = first_nonce
        self.params = params
        self.governor = str(to_checksum_address(roles.governor or deployer))
        self.guardian = str(to_checksum_address(roles.guardian or deployer))
        self.orchestrators = [str(to_checksum_address(o)) for o in roles.orchestrators]
        self.contracts = {name: create_address(deployer, first_nonce + i) for i, name in enumerate(CONTRACTS)}
        self.steps: list[Step] = [*self._creations(), *self._introductions(), *self._handover()]

    @property
    def digest(self) -> str:
        """Names everything that the plan depends on; half a deployment goes on only under the same one."""
        said = {
            "deployer": self.deployer,
            "first_nonce": self.first_nonce,
            "params": asdict(self.params),
            "governor": self.governor,
            "guardian": self.guardian,
            "orchestrators": self.orchestrators,
            "code": {name: artifact(name)["bytecode"] for name in CONTRACTS},
        }
        return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()

    def _creations(self) -> list[Step]:
        at, params = self.contracts, self.params
        arguments: dict[str, tuple[Any, ...]] = {
            "OstrakaToken": (self.deployer, SUPPLY),
            "Timelock": (0, [self.deployer], [NOBODY], self.deployer),
            "Treasury": (at["OstrakaToken"],),
            "Params": (market_params(params),),
            "StakeVault": (at["OstrakaToken"], params.unbonding_period_s, at["JobMarket"]),
            "NodeRegistry": (at["StakeVault"], params.jail_period_s),
            "ModelRegistry": (),
            "ShardRegistry": (
                at["NodeRegistry"],
                at["ModelRegistry"],
                at["StakeVault"],
                params.stake_to_price_ratio,
                possession_terms(params),
            ),
            "JobSettler": (at["ShardRegistry"], at["Params"], at["Treasury"]),
            "JobMarket": (at["JobSettler"],),
            "SignedSettlement": (at["JobMarket"],),
            "BlockRandomness": (params.seed_delay_blocks, params.seed_lifetime_blocks),
            "Orchestrators": (at["JobMarket"], at["BlockRandomness"], orchestrator_terms(params)),
            "Sortition": (at["StakeVault"], at["BlockRandomness"], params.round_blocks, params.juror_weight),
            "Adjudicator": (at["JobMarket"], at["Sortition"], adjudication_rules(params)),
            "DisputeCourt": (at["JobMarket"], at["Adjudicator"]),
            "EpochSettler": (at["JobMarket"], params.epoch_grace_s),
            "PaymentVouchers": (at["OstrakaToken"], params.voucher_thaw_s, at["Params"], at["Treasury"]),
            "ResultInbox": (at["JobMarket"], params.callback_gas),
        }
        return [Create(name, arguments[name]) for name in CONTRACTS]

    def _introductions(self) -> list[Step]:
        at = self.contracts
        return [
            Call("StakeVault", "initialize", ([at[name] for name in MODULES if name != "JobMarket"],)),
            Call("JobMarket", "initialize", (at["DisputeCourt"], at["SignedSettlement"], at["Orchestrators"])),
            Call("NodeRegistry", "initialize", (at["ShardRegistry"], at["JobMarket"])),
            Call("Adjudicator", "initialize", (at["DisputeCourt"],)),
            *(Call("JobMarket", "setOrchestrator", (o, True)) for o in self.orchestrators),
            *(Call(name, "setGuardian", (self.guardian,)) for name in PAUSABLE),
        ]

    def _handover(self) -> list[Step]:
        """Everything gets the timelock for an owner. It accepts while its delay is still nothing, and takes on its real delay in the
        same transaction; then the deployer gives up what it could do with it.
        """
        timelock = self.contracts["Timelock"]
        calls: list[tuple[str, str, tuple[Any, ...]]] = [(name, "acceptOwnership", ()) for name in OWNED]
        calls.append(("Timelock", "updateDelay", (self.params.timelock_delay_s,)))
        batch = (
            [self.contracts[name] for name, _, _ in calls],
            [0] * len(calls),
            [encode_call(name, function, arguments) for name, function, arguments in calls],
            bytes(32),
            keccak(text="ostraka/handover/1"),
        )
        steps: list[Step] = [Call(name, "transferOwnership", (timelock,)) for name in OWNED]
        steps += [Call("Timelock", "scheduleBatch", (*batch, 0)), Call("Timelock", "executeBatch", batch)]
        proposer, canceller = keccak(text="PROPOSER_ROLE"), keccak(text="CANCELLER_ROLE")
        if self.governor != self.deployer:
            steps += [Call("Timelock", "grantRole", (role, self.governor)) for role in (proposer, canceller)]
            steps += [Call("Timelock", "renounceRole", (role, self.deployer)) for role in (proposer, canceller)]
        return [*steps, Call("Timelock", "renounceRole", (bytes(32), self.deployer))]


def adjudication_rules(params: Params) -> tuple[int, ...]:
    """In the order of `ICases.Rules`."""
    return (
        params.jurors,
        params.appeal_jurors,
        params.seat_s,
        params.vote_s,
        params.vote_reveal_s,
        params.appeal_s,
        params.close_s,
        params.proof_s,
        params.juror_bond,
        params.appeal_bond,
    )


def orchestrator_terms(params: Params) -> tuple[int, ...]:
    """In the order of `IOrchestrators.Terms`."""
    return (
        params.orchestrator_min_stake,
        params.orchestrator_epoch_s,
        params.orchestrator_takeover_s,
        params.unbonding_period_s,
        params.orchestrator_places,
    )


def possession_terms(params: Params) -> tuple[int, ...]:
    """In the order of `IPossession.Terms`."""
    return (
        params.possession_window_s,
        params.possession_cooldown_s,
        params.possession_bond,
        params.possession_min_slash,
        params.possession_slash_bps,
    )


def market_params(params: Params) -> tuple[int, ...]:
    """In the order of `IParams.Set`."""
    return (
        params.protocol_fee_bps,
        params.orchestrator_fee_bps,
        params.lock_multiple,
        params.slash_bps,
        params.challenger_bps,
        params.min_window_s,
        params.max_window_s,
        params.reveal_window_s,
        params.challenge_window_s,
        params.response_window_s,
        params.bond_bps,
    )
