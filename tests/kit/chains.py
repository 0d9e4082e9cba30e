"""A chain of a test's own."""

from __future__ import annotations

from web3 import Web3

from ostraka.chain import Sender
from ostraka.chain.rpc import connect
from ostraka.crypto.keys import derive_key
from ostraka.devnet.processes import Processes, free_port, python
from ostraka.devnet.spec import ACCOUNTS, MNEMONIC
from ostraka.errors import ChainUnreachable


def start_chain(processes: Processes, name: str = "chain") -> str:
    """The URL of an embedded chain that answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("--port", str(port), "--mnemonic", MNEMONIC, "--accounts", str(ACCOUNTS))
    child = processes.start(name, python("ostraka.devnet.embedded_chain", *arguments))

    def answers() -> bool:
        try:
            return connect(url, 2.0).eth.block_number >= 0
        except ChainUnreachable:
            return False

    child.wait_until(answers, 30.0)
    return url


def sender(web3: Web3, account: int) -> Sender:
    """Of one of a local chain's prefunded accounts."""
    return Sender(web3, derive_key(MNEMONIC, account))
