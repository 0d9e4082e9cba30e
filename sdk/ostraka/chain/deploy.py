"""Carrying out a plan: whatever of it is done already is checked instead, so a deployment that was cut off goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ostraka.chain.artifacts import artifact, contract_at
from ostraka.chain.deployment import Deployment
from ostraka.chain.plan import Create, Plan, Roles, Step
from ostraka.chain.rpc import chain_errors
from ostraka.chain.transactions import Sender
from ostraka.chain.verify import check_code
from ostraka.errors import ChainUnreachable, ConfigError, TransactionFailed
from ostraka.params import Params

Report = Callable[[int, int], None]
BEHIND_S, POLL_S = 30.0, 0.1  # how long a node may be behind its own receipts, and between looks


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a deployment that is under way has to remember: under which nonce it began, and what it is a deployment of."""

    chain_id: int
    block_number: int
    first_nonce: int
    digest: str


def deploy(sender: Sender, params: Params, orchestrators: Sequence[str], report: Report) -> Deployment:
    """Deploys everything; the deployer gets the whole supply of the token and governs the timelock.

    Raises `TransactionFailed` or `ChainUnreachable`.
    """
    nonce = _nonce(sender)
    plan = Plan(sender.address, nonce, params, Roles(orchestrators))
    block = int(sender.web3.eth.block_number)
    _carry_out(sender, plan, report)
    return Deployment(sender.web3.eth.chain_id, block, plan.contracts)


def deploy_to_file(sender: Sender, params: Params, roles: Roles, path: Path, report: Report) -> Deployment:
    """Deploys everything and writes one address file. Called again after it was cut off, it goes on.

    Until it is done there is a second file, `<path>.part`; the deployer's key must do nothing else meanwhile.

    Raises:
        ConfigError: `path` exists, or a half-done deployment of something else does, or the key was used otherwise.
        TransactionFailed, ChainUnreachable.
    """
    if path.exists():
        raise ConfigError(f"output: {path} exists; `ostraka chain verify` checks it, another --output keeps both")
    part = path.with_name(path.name + ".part")
    chain_id = int(sender.web3.eth.chain_id)
    begun = _load(part)
    if begun is None:
        nonce = _nonce(sender)
        plan = Plan(sender.address, nonce, params, roles)
        begun = Progress(chain_id, int(sender.web3.eth.block_number), nonce, plan.digest)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.encode(begun) + b"\n")
    plan = Plan(sender.address, begun.first_nonce, params, roles)
    if (begun.chain_id, begun.digest) != (chain_id, plan.digest):
        raise ConfigError(
            f"output: {part} is a half-done deployment on chain {begun.chain_id} with other settings, another key or other contracts; "
            "repeat its options, or remove it to begin anew"
        )
    _carry_out(sender, plan, report)
    deployment = Deployment(chain_id, begun.block_number, plan.contracts)
    deployment.save(path)
    part.unlink()
    return deployment


def _nonce(sender: Sender) -> int:
    with chain_errors():
        return int(sender.web3.eth.get_transaction_count(sender.address, "latest"))  # type: ignore[arg-type]


def _await_nonce(sender: Sender, wanted: int) -> None:
    """A node may tell of a receipt a moment before its newest state has the nonce.

    Raises `ConfigError` where there were more transactions than those of the plan, `ChainUnreachable` where the node stays behind.
    """
    end = time.monotonic() + BEHIND_S
    while (seen := _nonce(sender)) < wanted:
        if time.monotonic() > end:
            raise ChainUnreachable(
                f"chain: {sender.address} has sent {wanted} transactions and the node knows of {seen}; deploy again, it goes on"
            )
        time.sleep(POLL_S)
    if seen > wanted:
        raise ConfigError(
            f"key: {sender.address} sends other transactions while it deploys (nonce {seen}, want {wanted}); use a key of its own"
        )


def _load(part: Path) -> Progress | None:
    if not part.exists():
        return None
    try:
        return msgspec.json.decode(part.read_bytes(), type=Progress)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"output: {part} cannot be read ({error}); remove it to begin anew") from error


def _carry_out(sender: Sender, plan: Plan, report: Report) -> None:
    done = _nonce(sender) - plan.first_nonce
    for number, step in enumerate(plan.steps):
        if number < done:
            if isinstance(step, Create):
                check_code(sender.web3, step.name, plan.contracts[step.name])
        else:
            _do(sender, plan, step)
            _await_nonce(sender, plan.first_nonce + number + 1)
        report(number + 1, len(plan.steps))


def _do(sender: Sender, plan: Plan, step: Step) -> None:
    try:
        if isinstance(step, Create):
            compiled = artifact(step.name)
            sender.deploy(compiled["abi"], compiled["bytecode"], *step.arguments)
        else:
            contract = contract_at(sender.web3, step.name, plan.contracts[step.name])
            sender.send(contract.functions[step.function](*step.arguments))
    except TransactionFailed as error:
        raise TransactionFailed(f"{step.what}: {error}", error.error, error.args_) from error
