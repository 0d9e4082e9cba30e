"""The newest chain block: only what a node can be asked about is one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ostraka.chain.contracts import Contracts
from ostraka.chain.deployment import Deployment
from ostraka.errors import ChainUnreachable


class Node:
    """It counts `told` chain blocks, and has written down `written` of them: Ganache tells of one before it has its events."""

    endpoint_uri = "a node"

    def __init__(self, told, written, refuses=False):
        self.told, self.written, self.refuses = told, written, refuses

    def make_request(self, method, params):
        if method == "eth_blockNumber":
            return {"result": hex(self.told)}
        number = self.told if params[0] == "latest" else int(params[0], 16)
        if number > self.written and params[0] != "latest":
            return {"error": {"message": "header not found"}} if self.refuses else {"result": None}
        return {
            "result": {
                "number": hex(number),
                "hash": "0x" + bytes([number]).hex() * 32,
                "timestamp": hex(1_000 + number),
            }
        }


def contracts(*args, **more):
    return Contracts(SimpleNamespace(provider=Node(*args, **more)), Deployment(1337, 0, {}))


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize(("told", "written", "newest"), [(7, 7, 7), (7, 6, 6)])
def test_the_newest_chain_block_is_one_that_is_written_down(told, written, newest, refuses):
    head = contracts(told, written, refuses=refuses).head()
    assert (head.number, head.hash, head.time) == (newest, bytes([newest]) * 32, 1_000 + newest)


def test_a_node_that_has_nothing_of_what_it_counts_is_away():
    with pytest.raises(ChainUnreachable, match="counts 7 chain blocks"):
        contracts(7, 5).head()
