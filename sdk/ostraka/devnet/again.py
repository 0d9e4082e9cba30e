"""A network in a folder where one was before: what its chain has kept is gone on with, what speaks of another chain is thrown away."""

from __future__ import annotations

import shutil
from pathlib import Path

from web3 import Web3
from web3.exceptions import BlockNotFound

from ostraka.chain import Deployment
from ostraka.chain.artifacts import CONTRACTS
from ostraka.chain.rpc import chain_errors
from ostraka.chain.verify import check_code
from ostraka.errors import ConfigError

DEPLOYMENT, MARK = "deployment.json", "chain.mark"
KEPT_OF_NODES = "blocks"  # named by their hashes, so they are right on every chain


def keep(web3: Web3, deployment: Deployment, folder: Path) -> None:
    """Writes down a new deployment, and the newest chain block's hash: addresses alone are the same on every local chain."""
    block = web3.eth.get_block("latest")
    deployment.save(folder / DEPLOYMENT)
    (folder / MARK).write_text(f"{block['number']} {block['hash'].hex()}")


def kept(web3: Web3, folder: Path) -> Deployment | None:
    """The deployment of an earlier network in `folder`, if this is its chain and the contracts are this version's.

    Raises `ChainUnreachable`.
    """
    try:
        found = Deployment.load(folder / DEPLOYMENT)
        number, _, digest = (folder / MARK).read_text().partition(" ")
        with chain_errors():
            if web3.eth.get_block(int(number))["hash"].hex() != digest:
                return None
        for name in CONTRACTS:
            check_code(web3, name, found.address(name))
    except (ConfigError, OSError, ValueError, BlockNotFound):
        return None
    return found


def forget(folder: Path) -> bool:
    """Throws away what an earlier network left that fits no other chain. Keys, logs and blocks stay. False where there was none."""
    if not (folder / DEPLOYMENT).exists():
        return False
    stale = [folder / DEPLOYMENT, folder / MARK, *folder.glob("orchestrator*.snapshot"), *folder.glob("queue*")]
    stale += [path for path in folder.glob("node-*/*") if path.name != KEPT_OF_NODES]
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return True
