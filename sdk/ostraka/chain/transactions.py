"""Sending transactions: in line for each key, simulated first, and refusals told by the contract's own names.

A transaction is signed once and then sent until it is mined: over an endpoint that is away for a while, and with a higher fee under the
same nonce when nobody mines it. So an answer that got lost on its way never makes one call into two transactions. Once a node has it,
the next one of its key goes ahead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_account import Account
from eth_account.datastructures import SignedTransaction
from hexbytes import HexBytes
from web3 import Web3
from web3.contract.contract import ContractFunction
from web3.exceptions import Web3RPCError

from ostraka.chain.abi import Call, abi_type
from ostraka.chain.artifacts import error_signatures
from ostraka.chain.gas import Kind, forget_gas, known_gas, note_gas
from ostraka.chain.nonces import Line, Turn
from ostraka.chain.rpc import Refused, ask, chain_errors
from ostraka.crypto.keys import Key
from ostraka.errors import ChainUnreachable, TransactionFailed

GAS_MARGIN = 1.2  # estimates are exact only for the state they were made on
PATIENCE_S = 120.0  # how long a transaction may take, and how long an endpoint may be away meanwhile
BUMP_AFTER_S = 20.0  # then the fee is raised
BUMP = 1.25  # at least 1.1: nodes refuse a replacement that pays hardly more
FIRST_POLL_S, POLL_S = 0.01, 0.1  # between looks for a receipt, growing
FEES_S = 5.0  # how long what nodes ask for is remembered
AWAY_POLL_S = 0.5
_HAS_IT = ("already known", "already imported", "known transaction", "underpriced")
_TRANSFER_GAS = 21_000
_lines: dict[tuple[str, str], Line] = {}  # by address and endpoint
_lines_guard = threading.Lock()


@dataclass(frozen=True)
class Mined:
    """A transaction that succeeded."""

    hash: bytes
    gas_used: int
    block_number: int
    logs: list[Any]


def explain(error: Exception) -> TransactionFailed:
    """The contract's custom error by name, with its arguments: `PriceCapTooLow(priceCap=1, price=3)`."""
    data = _revert_data(getattr(error, "data", None))
    if data is not None:
        raw = bytes.fromhex(data[2:])
        entry = error_signatures().get(raw[:4])
        if entry is not None:
            try:
                values = abi_decode([abi_type(i) for i in entry["inputs"]], raw[4:])
            except Exception:
                values = ()
            said = ", ".join(f"{i['name']}={_show(v)}" for i, v in zip(entry["inputs"], values, strict=False))
            name = str(entry["name"])
            return TransactionFailed(f"the contract refused: {name}({said})", name, tuple(values))
    text: str = str(error.args[0]) if error.args else str(error)
    return TransactionFailed(f"the chain refused the transaction: {text}")


def _revert_data(data: object) -> str | None:
    """What the contract said, in hex. Most nodes give it as it is; Ganache puts it into an object, as `result`, others as `data`."""
    if isinstance(data, dict):
        return _revert_data(data.get("result") or data.get("data"))
    return data if isinstance(data, str) and data.startswith("0x") and len(data) >= 10 else None


def _show(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


class Sender:
    """Sends transactions of one key. Threads may share it; two processes must not share a key."""

    def __init__(self, web3: Web3, key: Key) -> None:
        self.web3 = web3
        self.key = key
        self.address = key.address
        self._account = Web3.to_checksum_address(key.address)
        self._chain_id = 0
        self._fees: dict[str, int] = {}
        self._fees_until = 0.0
        where = str(getattr(web3.provider, "endpoint_uri", id(web3.provider)))
        with _lines_guard:
            self._line = _lines.setdefault((self.address, where), Line())

    def send(self, call: Call | ContractFunction, value: int = 0, *, sure: bool = False) -> Mined:
        """Simulates, signs, sends and waits.

        `sure` is for a call that is known to be taken, by what its sender knows of the chain: once calls of its kind have been simulated
        a few times, their gas is known and it is sent without. Should it be refused after all, it is simulated, to tell why.

        Raises:
            TransactionFailed: the contract refuses; `.error` is its custom error's name.
            ChainUnreachable: no node answers, or it does not mine.
        """
        if not isinstance(call, Call):
            call = Call(str(call.address), bytes(HexBytes(call._encode_transaction_data())), str(call.fn_name))
        base = {"from": self._account, "to": call.to, "value": hex(value), "data": "0x" + call.data.hex()}
        kind = (call.to, call.data[:4], len(call.data))
        if sure and (gas := known_gas(kind)) is not None:
            try:
                return self._run(lambda: {**base, "gas": gas})
            except TransactionFailed:
                forget_gas(kind)
        return self._run(lambda: {**base, "gas": self._simulated(base, kind)})

    def deploy(self, abi: Any, bytecode: str, *args: Any) -> str:
        """Deploys a contract and returns its address."""
        data = self.web3.eth.contract(abi=abi, bytecode=bytecode).constructor(*args).data_in_transaction
        base = {"from": self._account, "value": "0x0", "data": data}
        mined = self._run(lambda: {**base, "gas": self._simulated(base, None)})
        return str(self._receipt(HexBytes(mined.hash))["contractAddress"])  # type: ignore[index]

    def transfer(self, to: str, value: int) -> Mined:
        """Sends `value` wei of the chain's own coin, for gas."""
        return self._run(
            lambda: {"from": self._account, "to": to, "value": hex(value), "data": "0x", "gas": _TRANSFER_GAS}
        )

    def _simulated(self, base: dict[str, Any], kind: Kind | None) -> int:
        gas = int(int(ask(self.web3, "eth_estimateGas", base), 16) * GAS_MARGIN)
        if kind is not None:
            note_gas(kind, gas)
        return gas

    def _run(self, build: Callable[[], dict[str, Any]]) -> Mined:
        end = time.monotonic() + PATIENCE_S
        mined: tuple[Any, HexBytes] | None = None
        while mined is None:  # None: something else has its nonce, so it is simulated anew
            with Turn(self._line) as turn:
                transaction = self._patiently(partial(self._prepare, build, turn), end)
                mined = self._until_mined(transaction, turn, end)
        receipt, sent = mined
        if int(receipt["status"], 16) != 1:
            raise TransactionFailed(f"transaction 0x{bytes(sent).hex()} was mined but reverted")
        return Mined(bytes(sent), int(receipt["gasUsed"], 16), int(receipt["blockNumber"], 16), list(receipt["logs"]))

    def _prepare(self, build: Callable[[], dict[str, Any]], turn: Turn) -> dict[str, Any]:
        try:
            fields = build()  # simulates, through eth_estimateGas
        except Web3RPCError as error:
            raise explain(error) from error
        transaction = {name: value for name, value in fields.items() if name != "from"}
        transaction["value"] = int(transaction["value"], 16)
        transaction["nonce"] = turn.nonce(self._mined_nonce)
        self._chain_id = self._chain_id or int(ask(self.web3, "eth_chainId"), 16)
        return transaction | {"chainId": self._chain_id} | self._current_fees()

    def _mined_nonce(self) -> int:
        return int(ask(self.web3, "eth_getTransactionCount", self._account, "latest"), 16)

    def _current_fees(self) -> dict[str, int]:
        """What nodes take for some seconds to come: twice the base fee, which cannot double within six chain blocks."""
        if time.monotonic() > self._fees_until:
            base = ask(self.web3, "eth_getBlockByNumber", "latest", False).get("baseFeePerGas")
            if base is None:
                self._fees = {"gasPrice": int(ask(self.web3, "eth_gasPrice"), 16) * 2}
            else:
                tip = int(ask(self.web3, "eth_maxPriorityFeePerGas"), 16)
                self._fees = {"maxFeePerGas": 2 * int(base, 16) + tip, "maxPriorityFeePerGas": tip}
            self._fees_until = time.monotonic() + FEES_S
        return self._fees

    def _until_mined(self, transaction: dict[str, Any], turn: Turn, end: float) -> tuple[Any, HexBytes] | None:
        """The receipt, and the hash of the version that was mined; None where the nonce was used for something else."""
        hashes: list[HexBytes] = []
        version = self._sign(transaction)
        bump_at = time.monotonic() + BUMP_AFTER_S
        pause = FIRST_POLL_S
        while True:
            try:
                with chain_errors():
                    if version.hash not in hashes:
                        hashes.append(version.hash)  # before it is sent: the answer may get lost
                        if not self._broadcast(version, transaction["nonce"]):
                            return None
                        turn.over()
                    for sent in reversed(hashes):
                        if (receipt := self._receipt(sent)) is not None:
                            return receipt, sent
                    if self._mined_nonce() > transaction["nonce"]:
                        self._line.forget()
                        return next(((r, h) for h in hashes if (r := self._receipt(h)) is not None), None)
                pause = min(pause * 2, POLL_S)
            except ChainUnreachable:
                pause = AWAY_POLL_S
                hashes = [sent for sent in hashes if sent != version.hash]  # it may not have arrived: send it again
            now = time.monotonic()
            if now > end:
                known = f"0x{bytes(version.hash).hex()}"
                raise ChainUnreachable(f"chain: transaction {known} is not mined after {PATIENCE_S:.0f} s")
            if now > bump_at:
                self._fill_gap(transaction)
                transaction = _dearer(transaction)
                version, bump_at = self._sign(transaction), now + BUMP_AFTER_S
            time.sleep(pause)

    def _broadcast(self, version: SignedTransaction, nonce: int) -> bool:
        """False where its nonce was remembered, and is not the chain's next: nothing was taken, and the chain is asked from now on."""
        try:
            ask(self.web3, "eth_sendRawTransaction", "0x" + bytes(version.raw_transaction).hex())
        except Web3RPCError as error:
            # What the node has already, or what was mined meanwhile, is no refusal: receipts will tell.
            if any(words in str(error).lower() for words in _HAS_IT):
                return True
            self._line.forget()
            mined = self._mined_nonce()
            if mined <= nonce and not self._line.is_open(nonce):
                if self._line.first_free(mined) < nonce:
                    return False
                self._fees_until = 0.0  # they may be why
                raise explain(error) from error
        return True

    def _fill_gap(self, waiting: dict[str, Any]) -> None:
        """What nobody mines may wait for an earlier nonce that no transaction has, where the chain lost one: an empty one takes its place.

        To use that nonce for the waiting call itself could make two transactions of it.
        """
        with suppress(ChainUnreachable, Web3RPCError), chain_errors():
            mined = self._mined_nonce()
            if mined < waiting["nonce"] and not self._line.is_open(mined):
                nothing = {"to": self._account, "value": 0, "data": "0x", "gas": _TRANSFER_GAS, "nonce": mined}
                filler = self._sign(_dearer({**waiting, **nothing}))
                ask(self.web3, "eth_sendRawTransaction", "0x" + bytes(filler.raw_transaction).hex())

    def _sign(self, transaction: dict[str, Any]) -> SignedTransaction:
        signed: SignedTransaction = Account.sign_transaction(transaction, self.key.secret)
        return signed

    def _receipt(self, sent: HexBytes) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = ask(self.web3, "eth_getTransactionReceipt", "0x" + bytes(sent).hex())
            return found
        except Refused:  # some nodes say that there is none by an error
            return None

    def _patiently(self, ask: Callable[[], dict[str, Any]], end: float) -> dict[str, Any]:
        """`ask`, again while no endpoint answers."""
        while True:
            try:
                with chain_errors():
                    return ask()
            except ChainUnreachable:
                if time.monotonic() > end:
                    raise
                time.sleep(AWAY_POLL_S)


def _dearer(transaction: dict[str, Any]) -> dict[str, Any]:
    """The same under the same nonce, for a fee that makes nodes take it in the other's place."""
    fees = ("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas")
    return {**transaction, **{fee: int(transaction[fee] * BUMP) + 1 for fee in fees if fee in transaction}}
