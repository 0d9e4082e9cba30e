"""One deployment for the whole run; every test starts from the same chain and must leave all money accounted for."""

from __future__ import annotations

import time

import pytest
from brownie import chain, network, project, web3
from web3.exceptions import TransactionNotFound
from world.epochs import Epochs
from world.market import World
from world.refusals import tell_reached
from world.told import TOLD


def patiently(look_up, patience_s: float = 30.0):
    """Anvil counts a transaction's nonce a moment before it finds its receipt; Brownie would think that it was dropped."""

    def look_again(txid):
        end = time.monotonic() + patience_s
        while True:
            try:
                return look_up(txid)
            except TransactionNotFound:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    return look_again


@pytest.fixture(scope="session")
def house():
    web3.eth.get_transaction = patiently(web3.eth.get_transaction)
    web3.eth.get_transaction_receipt = patiently(web3.eth.get_transaction_receipt)
    network.gas_price("2 gwei")  # Brownie's default of 0 is below Ganache's base fee, and such a transaction waits for ever
    return World(project.get_loaded_projects()[0])


@pytest.fixture
def world(house):
    chain.snapshot()
    house.others.clear()
    yield house
    house.check_conserved()
    chain.revert()


@pytest.fixture(scope="module")
def stack(house: World):
    """What stands before the first of these tests, and is gone after the last."""
    chain.snapshot()
    mark = chain._snapshot_id
    yield Epochs(house)
    chain._snapshot_id = mark  # every test has taken one of its own since
    chain.revert()


@pytest.fixture
def epochs(stack: Epochs, world: World):
    world.others.extend([stack.vault.address, stack.settler.address])
    yield stack
    stack.check_conserved()
    stack.ids.clear()


def pytest_sessionfinish():
    tell_reached()


def pytest_terminal_summary(terminalreporter):
    for text in TOLD:
        terminalreporter.write_line(text)


def pytest_collection_modifyitems(items):
    """The test that asks which errors were reached goes last."""
    items.sort(key=lambda item: item.nodeid.split("::")[0].endswith("test_zz_every_error.py"))
