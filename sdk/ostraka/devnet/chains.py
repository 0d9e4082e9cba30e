"""The chains a local network can run on, as commands that listen on loopback.

All three mine a chain block for each transaction at once, under Shanghai's rules, from one mnemonic. Ganache and Anvil keep their state in
the network's folder; the embedded chain forgets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ostraka.devnet.processes import python
from ostraka.devnet.programs import npm_program
from ostraka.devnet.spec import ACCOUNTS, MNEMONIC, ChainKind

CHAIN_ID = 1337


def chain_command(kind: ChainKind, port: int, folder: Path) -> list[str]:
    """Raises `ConfigError` when the program is not installed."""
    return _COMMANDS[kind](port, folder)


def speaks_websocket(kind: ChainKind) -> bool:
    """Whether it tells of new chain blocks, on the same port."""
    return kind != "embedded"


def clock_command(url: str) -> list[str]:
    """Mines an empty chain block in every second that had none: deadlines are judged by the latest one's time, in views too."""
    return python("ostraka.devnet.clock", "--url", url)


def _embedded(port: int, folder: Path) -> list[str]:
    arguments = ["--port", str(port), "--mnemonic", MNEMONIC, "--accounts", str(ACCOUNTS)]
    return python("ostraka.devnet.embedded_chain", *arguments)


def _ganache(port: int, folder: Path) -> list[str]:
    return [
        npm_program("ganache", "ganache@7.9.2"),
        "--chain.hardfork", "shanghai", "--chain.chainId", str(CHAIN_ID), "--chain.vmErrorsOnRPCResponse", "true",
        # While its miner is never idle, Ganache writes all slots of storage that it has touched since it was, with each chain block.
        "--chain.asyncRequestProcessing", "false",
        "--server.host", "127.0.0.1", "--server.port", str(port),
        "--wallet.mnemonic", MNEMONIC, "--wallet.totalAccounts", str(ACCOUNTS), "--wallet.defaultBalance", "1000000",
        "--database.dbPath", str(folder / "ganache"), "--logging.quiet", "true",
    ]  # fmt: skip


def _anvil(port: int, folder: Path) -> list[str]:
    return [
        npm_program("anvil", "@foundry-rs/anvil-linux-amd64@1.7.1"),
        "--hardfork", "shanghai", "--chain-id", str(CHAIN_ID), "--host", "127.0.0.1", "--port", str(port),
        "--mnemonic", MNEMONIC, "--accounts", str(ACCOUNTS), "--balance", "1000000",
        "--state", str(folder / "anvil.json"), "--quiet",
    ]  # fmt: skip


_COMMANDS: dict[ChainKind, Callable[[int, Path], list[str]]] = {
    "embedded": _embedded,
    "ganache": _ganache,
    "anvil": _anvil,
}
