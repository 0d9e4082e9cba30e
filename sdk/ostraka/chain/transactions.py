"""Sending transactions: one nonce at a time for each key, simulated first, and refusals told by the contract's own names."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_account import Account
from web3 import Web3
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractLogicError, TimeExhausted, TransactionNotFound, Web3RPCError, Web3ValueError
from web3.types import TxParams

from ostraka.chain.artifacts import error_signatures
from ostraka.chain.rpc import chain_errors
from ostraka.crypto.keys import Key
from ostraka.errors import ChainUnreachable, TransactionFailed

GAS_MARGIN = 1.2  # estimates are exact only for the state they were made on
RECEIPT_TIMEOUT_S = 120.0
POLL_S = 0.1
_nonce_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


@dataclass(frozen=True)
class Mined:
    """A transaction that succeeded."""

    hash: bytes
    gas_used: int
    block_number: int
    logs: list[Any]


def explain(error: Exception) -> TransactionFailed:
    """The contract's custom error by name, with its arguments: `PriceCapTooLow(priceCap=1, price=3)`."""
    data = getattr(error, "data", None)
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        raw = bytes.fromhex(data[2:])
        entry = error_signatures().get(raw[:4])
        if entry is not None:
            try:
                values = abi_decode([_abi_type(i) for i in entry["inputs"]], raw[4:])
            except Exception:
                values = ()
            said = ", ".join(f"{i['name']}={_show(v)}" for i, v in zip(entry["inputs"], values, strict=False))
            name = str(entry["name"])
            return TransactionFailed(f"the contract refused: {name}({said})", name, tuple(values))
    text: str = str(error.args[0]) if error.args else str(error)
    return TransactionFailed(f"the chain refused the transaction: {text}")


def _abi_type(entry: dict[str, Any]) -> str:
    if entry["type"].startswith("tuple"):
        inner = ",".join(_abi_type(c) for c in entry["components"])
        return f"({inner}){entry['type'][5:]}"
    return str(entry["type"])


def _show(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


class Sender:
    """Sends transactions of one key. Threads may share it; two processes must not share a key."""

    def __init__(self, web3: Web3, key: Key) -> None:
        self.web3 = web3
        self.key = key
        self.address = key.address
        self._account = Web3.to_checksum_address(key.address)
        with _locks_guard:
            self._lock = _nonce_locks.setdefault(self.address, threading.Lock())

    def send(self, call: ContractFunction, value: int = 0) -> Mined:
        """Simulates, signs, sends and waits.

        Raises:
            TransactionFailed: the contract refuses; `.error` is its custom error's name.
            ChainUnreachable: no node answers, or it does not mine.
        """
        return self._run(lambda: dict(call.build_transaction(self._base(value))))

    def deploy(self, abi: Any, bytecode: str, *args: Any) -> str:
        """Deploys a contract and returns its address."""
        constructor = self.web3.eth.contract(abi=abi, bytecode=bytecode).constructor(*args)
        mined = self._run(lambda: dict(constructor.build_transaction(self._base(0))))
        return str(self.web3.eth.get_transaction_receipt(mined.hash)["contractAddress"])  # type: ignore[arg-type]

    def transfer(self, to: str, value: int) -> Mined:
        """Sends `value` wei of the chain's own coin, for gas."""
        return self._run(lambda: {**self._base(value), "to": to, "gas": 21_000})

    def _base(self, value: int) -> TxParams:
        return {"from": self.address, "value": value}  # type: ignore[typeddict-item]

    def _run(self, build: Any) -> Mined:
        with chain_errors(), self._lock:
            try:
                transaction = build()  # simulates, through eth_estimateGas
                if transaction["gas"] != 21_000:
                    transaction["gas"] = int(transaction["gas"] * GAS_MARGIN)
                transaction["nonce"] = self.web3.eth.get_transaction_count(self._account, "pending")
                transaction["chainId"] = self.web3.eth.chain_id
                if "maxFeePerGas" not in transaction:
                    transaction["gasPrice"] = self.web3.eth.gas_price * 2
                signed = Account.sign_transaction(transaction, self.key.secret)
                sent = self.web3.eth.send_raw_transaction(signed.raw_transaction)
            except (ContractLogicError, Web3RPCError, Web3ValueError) as error:
                raise explain(error) from error
            receipt = self._wait(sent)
        if receipt["status"] != 1:
            raise TransactionFailed(f"transaction 0x{bytes(sent).hex()} was mined but reverted")
        return Mined(bytes(sent), receipt["gasUsed"], receipt["blockNumber"], list(receipt["logs"]))

    def _wait(self, sent: Any) -> Any:
        end = time.monotonic() + RECEIPT_TIMEOUT_S
        while time.monotonic() < end:
            try:
                return self.web3.eth.get_transaction_receipt(sent)
            except (TransactionNotFound, TimeExhausted):
                time.sleep(POLL_S)
        raise ChainUnreachable(f"chain: transaction 0x{bytes(sent).hex()} is not mined after {RECEIPT_TIMEOUT_S:.0f} s")
