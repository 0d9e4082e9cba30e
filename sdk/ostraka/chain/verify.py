"""Whether what is on the chain is what these sources make, wired as the plan wires it and owned by its timelock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from web3 import Web3

from ostraka.chain.artifacts import CONTRACTS, artifact, contract_at
from ostraka.chain.deployment import Deployment
from ostraka.chain.plan import MODULES, OWNED
from ostraka.chain.rpc import chain_errors
from ostraka.errors import ConfigError

# Who knows whom: (contract, function, what it must answer).
WIRING = (
    ("StakeVault", "token", "OstrakaToken"),
    ("Treasury", "token", "OstrakaToken"),
    ("NodeRegistry", "vault", "StakeVault"),
    ("ShardRegistry", "nodes", "NodeRegistry"),
    ("ShardRegistry", "models", "ModelRegistry"),
    ("ShardRegistry", "vault", "StakeVault"),
    ("JobMarket", "token", "OstrakaToken"),
    ("JobMarket", "vault", "StakeVault"),
    ("JobMarket", "nodes", "NodeRegistry"),
    ("JobMarket", "models", "ModelRegistry"),
    ("JobMarket", "shards", "ShardRegistry"),
    ("JobMarket", "params", "Params"),
    ("JobMarket", "treasury", "Treasury"),
    ("JobMarket", "court", "DisputeCourt"),
    ("JobMarket", "settlement", "SignedSettlement"),
    ("JobMarket", "orchestrators", "Orchestrators"),
    ("Orchestrators", "market", "JobMarket"),
    ("Orchestrators", "randomness", "BlockRandomness"),
    ("SignedSettlement", "market", "JobMarket"),
    ("DisputeCourt", "market", "JobMarket"),
    ("DisputeCourt", "adjudicator", "Adjudicator"),
    ("Sortition", "vault", "StakeVault"),
    ("Sortition", "randomness", "BlockRandomness"),
    ("Adjudicator", "market", "JobMarket"),
    ("Adjudicator", "sortition", "Sortition"),
    ("Adjudicator", "court", "DisputeCourt"),
    ("EpochSettler", "market", "JobMarket"),
    ("PaymentVouchers", "token", "OstrakaToken"),
    ("PaymentVouchers", "params", "Params"),
    ("PaymentVouchers", "treasury", "Treasury"),
    ("ResultInbox", "market", "JobMarket"),
    *((name, "owner", "Timelock") for name in OWNED),
)


def check_code(web3: Web3, name: str, address: str) -> None:
    """The code at `address` is this contract's, but for what its constructor filled in.

    Raises `ConfigError` naming contract and address.
    """
    compiled = artifact(name)
    wanted = bytearray.fromhex(compiled["runtime"][2:])
    with chain_errors():
        found = bytearray(web3.eth.get_code(Web3.to_checksum_address(address)))
    if not found:
        raise ConfigError(f"{name}: there is no contract at {address}; wrong chain, or a deployment of another key")
    if len(found) == len(wanted):
        for start, length in compiled["immutables"]:
            found[start : start + length] = wanted[start : start + length] = bytes(length)
    if found != wanted:
        raise ConfigError(
            f"{name}: the code at {address} is not what this version compiles to; use the version that deployed it"
        )


def verify(web3: Web3, deployment: Deployment) -> Iterator[tuple[str, str | None]]:
    """Each thing that was looked at, and what is wrong with it, if anything."""
    for name in CONTRACTS:
        try:
            check_code(web3, name, deployment.address(name))
            yield f"code of {name}", None
        except ConfigError as error:
            yield f"code of {name}", str(error)
            return  # what it would answer means nothing
    for name, function, other in WIRING:
        answer = _ask(web3, deployment, name, function)
        wrong = str(answer).lower() != deployment.address(other).lower()
        yield f"{name}.{function} is {other}", f"it is {answer}, not {deployment.address(other)}" if wrong else None
    runs = deployment.address("JobSettler")
    yield "JobMarket runs JobSettler", None if _is_filled_in(web3, deployment, runs) else f"it does not run {runs}"
    for module in MODULES:
        known = _ask(web3, deployment, "StakeVault", "isModule", deployment.address(module))
        yield f"{module} may lock and slash", None if known else "StakeVault does not know it"


def _is_filled_in(web3: Web3, deployment: Deployment, address: str) -> bool:
    """Whether the market's constructor was given `address`. Nobody can ask the market which settler it runs; its code has it."""
    with chain_errors():
        code = web3.eth.get_code(Web3.to_checksum_address(deployment.address("JobMarket")))
    word = bytes(12) + bytes.fromhex(address[2:])
    return any(code[start : start + length] == word for start, length in artifact("JobMarket")["immutables"])


def _ask(web3: Web3, deployment: Deployment, name: str, function: str, *arguments: Any) -> Any:
    with chain_errors():
        return contract_at(web3, name, deployment.address(name)).functions[function](*arguments).call()
