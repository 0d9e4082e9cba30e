"""What a transaction takes beside its transfers of the token, as its trace has it."""

from __future__ import annotations

from brownie import web3


def transfers(sent, token) -> int:
    """Gas of all calls of the token: from the step that calls until the caller goes on, cold access and all."""
    steps = web3.provider.make_request("debug_traceTransaction", [sent.txid, {}])["result"]["structLogs"]
    taken = 0
    for place, step in enumerate(steps):
        if step["op"] == "CALL" and int(step["stack"][-2], 16) == int(token.address, 16):
            after = next(later for later in steps[place + 1 :] if later["depth"] == step["depth"])
            taken += _number(step["gas"]) - _number(after["gas"])
    assert taken, "no token was transferred"
    return taken


def bare(sent, token) -> int:
    """Gas of the transaction less that of its transfers."""
    return sent.gas_used - transfers(sent, token)


def _number(value: int | str) -> int:
    """Anvil says numbers, Ganache hexadecimal digits."""
    return int(value, 16) if isinstance(value, str) else value
