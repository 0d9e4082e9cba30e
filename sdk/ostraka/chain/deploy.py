"""Deploying the contracts: in an order in which each knows those it needs, then the late introductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ostraka.chain.artifacts import CONTRACTS, artifact
from ostraka.chain.deployment import Deployment
from ostraka.chain.transactions import Sender
from ostraka.params import Params
from ostraka.types import OSTR

SUPPLY = 1_000_000_000 * OSTR
NOBODY = "0x" + "00" * 20  # no adjudicator yet: a pinpoint cannot be contested
Report = Callable[[int, int], None]


def deploy(sender: Sender, params: Params, orchestrators: Sequence[str], report: Report) -> Deployment:
    """Deploys everything; the deployer gets the whole supply of the token and collects protocol fees.

    Raises `TransactionFailed` or `ChainUnreachable`.
    """
    web3 = sender.web3
    steps = len(CONTRACTS) + 3 + len(orchestrators)
    first_block = web3.eth.block_number
    contracts: dict[str, str] = {}
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report(done, steps)

    def make(name: str, *arguments: object) -> str:
        compiled = artifact(name)
        contracts[name] = sender.deploy(compiled["abi"], compiled["bytecode"], *arguments)
        tick()
        return contracts[name]

    token = make("OstrakaToken", sender.address, SUPPLY)
    vault = make("StakeVault", token, params.unbonding_period_s)
    nodes = make("NodeRegistry", vault, params.jail_period_s)
    models = make("ModelRegistry")
    shards = make("ShardRegistry", nodes, models, vault, params.stake_to_price_ratio, possession_terms(params))
    settler = make("JobSettler", shards, make("Params", market_params(params)), sender.address)
    market = make("JobMarket", settler)
    settlement = make("SignedSettlement", market)
    court = make("DisputeCourt", market, NOBODY)

    def call(name: str, function: str, *arguments: object) -> None:
        contract = web3.eth.contract(address=contracts[name], abi=artifact(name)["abi"])  # type: ignore[call-overload]
        sender.send(contract.functions[function](*arguments))
        tick()

    call("StakeVault", "initialize", [market, nodes, shards])
    call("JobMarket", "initialize", court, settlement)
    call("NodeRegistry", "initialize", shards, market)
    for orchestrator in orchestrators:
        call("JobMarket", "setOrchestrator", orchestrator, True)
    return Deployment(web3.eth.chain_id, first_block, contracts)


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
