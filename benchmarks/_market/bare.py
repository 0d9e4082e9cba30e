"""The chain's own limit: the transactions that a run left on its chain, sent again as they are to a fresh chain of the same kind.

Signatures, nonces and contents are the same bytes; nobody estimates, asks or waits for anything but the chain's answer.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import rlp
from hexbytes import HexBytes
from web3 import Web3

from ostraka.chain.rpc import answers, connect
from ostraka.devnet.chains import chain_command
from ostraka.devnet.processes import Processes, free_port
from ostraka.devnet.spec import ChainKind


@dataclass(frozen=True)
class History:
    """Signed transactions chain block by chain block, from the first one on; an empty list is an empty chain block."""

    blocks: list[list[str]]
    first_timed: int  # index of the first chain block that belongs to the load
    reverted: frozenset[str]  # transactions that were mined but refused: they are to be refused again

    @property
    def timed(self) -> int:
        """Transactions of the load."""
        return sum(map(len, self.blocks[self.first_timed :]))


@dataclass(frozen=True)
class Bare:
    """What the load's transactions took. `cpu_s` is the chain's own."""

    seconds: float
    cpu_s: float


def read_history(web3: Web3, first_timed: int, last: int) -> History:
    """Chain blocks 1 … `last`; the load begins with number `first_timed`."""
    blocks, reverted = [], set()
    for number in range(1, last + 1):
        hashes: Any = web3.eth.get_block(number)["transactions"]
        blocks.append([_signed(web3.eth.get_transaction(sent)) for sent in hashes])
        succeeded = [web3.eth.get_transaction_receipt(sent)["status"] == 1 for sent in hashes]
        reverted |= {raw for raw, well in zip(blocks[-1], succeeded, strict=True) if not well}
    return History(blocks, first_timed - 1, frozenset(reverted))


def _signed(seen: Any) -> str:
    """The bytes that were sent, from what a node says of the transaction. Raises `RuntimeError` unless they have its hash."""
    parts = {name: _number(seen[name]) for name in ("nonce", "gas", "value", "r", "s", "v")}
    to = bytes.fromhex(seen["to"][2:]) if seen.get("to") else b""
    data = bytes(HexBytes(seen["input"] if "input" in seen else seen["data"]))
    if "maxFeePerGas" in seen:
        fees = [_number(seen[name]) for name in ("maxPriorityFeePerGas", "maxFeePerGas")]
        head = [_number(seen["chainId"]), parts["nonce"], *fees, parts["gas"], to, parts["value"], data, []]
        raw = b"\x02" + rlp.encode([*head, parts["v"], parts["r"], parts["s"]])
    else:
        head = [parts["nonce"], _number(seen["gasPrice"]), parts["gas"], to, parts["value"], data]
        raw = rlp.encode([*head, parts["v"], parts["r"], parts["s"]])
    if Web3.keccak(raw) != HexBytes(seen["hash"]):
        raise RuntimeError(f"transaction {seen['hash']}: what the node says of it is not what was sent")
    return "0x" + raw.hex()


def _number(value: Any) -> int:
    return (
        int.from_bytes(value, "big")
        if isinstance(value, bytes)
        else value
        if isinstance(value, int)
        else int(value, 16)
    )


def send_bare(kind: ChainKind, folder: Path, history: History) -> Bare:
    """Sends them one after the other.

    Raises `RuntimeError` for one that the chain does not take as before.
    """
    processes = Processes(folder / "logs")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        child = processes.start("bare-chain", chain_command(kind, port, folder))
        child.wait_until(lambda: answers(url), 60.0)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each request waits 40 ms
        for transactions in history.blocks[: history.first_timed]:
            if not transactions:
                _ask(connection, "evm_mine", [])
            for transaction in transactions:
                _send(connection, transaction, history)
        began, used = time.monotonic(), _cpu(child.pid)
        for transactions in history.blocks[history.first_timed :]:
            for transaction in transactions:
                _send(connection, transaction, history)
        found = Bare(time.monotonic() - began, _cpu(child.pid) - used)
        connection.close()
        _check(connect(url), history)
        return found
    finally:
        processes.stop()


def _cpu(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(sum(member.cpu_times()[:2]) for member in (process, *process.children(recursive=True)))


def _check(web3: Web3, history: History) -> None:
    """That the load was taken as it was before: a refused transaction would be cheap."""
    for raw in [raw for transactions in history.blocks[history.first_timed :] for raw in transactions][-20:]:
        receipt = web3.eth.get_transaction_receipt(Web3.keccak(hexstr=raw))  # type: ignore[arg-type]
        if (receipt["status"] != 1) != (raw in history.reverted):
            raise RuntimeError(
                "a transaction that had succeeded was refused when it was sent bare, or the other way round"
            )


def _send(connection: http.client.HTTPConnection, raw: str, history: History) -> None:
    try:
        _ask(connection, "eth_sendRawTransaction", [raw])
    except RuntimeError as error:
        if raw not in history.reverted:  # Ganache tells of a refusal by an error, though it has mined it
            number = next(number for number, sent in enumerate(history.blocks, 1) if raw in sent)
            raise RuntimeError(
                f"transaction 0x{Web3.keccak(hexstr=raw).hex()} of chain block {number}: {error}"
            ) from error  # type: ignore[arg-type]


def _ask(connection: http.client.HTTPConnection, method: str, params: list[Any]) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    connection.request("POST", "/", body, {"content-type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]
