"""An EVM that mines each transaction at once, and what it has to say in JSON-RPC's form.

What programs ask all the time is answered from values that were written down when a chain block was mined, and from py-evm directly;
whatever else there is, by eth-tester.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

from eth_account import Account
from eth_typing import Address

from ostraka.devnet import evm_json as form

CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
HD_PATH = "m/44'/60'/0'/0/{}"
TIP = 10**9  # what is proposed as a priority fee
NEWEST = ("latest", "pending", "safe", "finalized", None)


def _vm() -> Any:
    from eth.vm.forks.shanghai import ShanghaiVM

    class SameSecondVM(ShanghaiVM):
        """Shanghai, but several chain blocks may share a second, as on rollups: with a chain block for each transaction a busy
        chain's time would otherwise run ahead of the clock, and deadlines would come early."""

        @classmethod
        def validate_header(cls, header: Any, parent_header: Any) -> None:
            if parent_header is not None and header.timestamp == parent_header.timestamp:
                parent_header = parent_header.copy(timestamp=parent_header.timestamp - 1)
            super().validate_header(header, parent_header)

    return SameSecondVM


class EmbeddedChain:
    """All calls are serialized: py-evm is not thread-safe."""

    def __init__(self, mnemonic: str, accounts: int) -> None:
        from eth_tester import EthereumTester
        from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_account_state
        from web3 import Web3
        from web3.providers.eth_tester import EthereumTesterProvider

        Account.enable_unaudited_hdwallet_features()
        holders = [Account.from_mnemonic(mnemonic, account_path=HD_PATH.format(i)).address for i in range(accounts)]
        self._rich = Address(bytes.fromhex(holders[0][2:]))
        state = {bytes.fromhex(h[2:]): get_default_account_state(overrides={"balance": 10**24}) for h in holders}
        self._backend = PyEVMBackend(
            genesis_parameters=PyEVMBackend.generate_genesis_params({"gas_limit": GAS_LIMIT}),
            genesis_state=state,
            vm_configuration=((0, _vm()),),
        )
        self._chain = self._backend.chain
        type(self._chain).chain_id = CHAIN_ID
        provider = EthereumTesterProvider(EthereumTester(backend=self._backend))
        web3 = Web3(provider, middleware=[])
        # The provider's own middleware turns eth-tester's snake_case values into JSON-RPC's.
        self._others = provider.request_func(web3, web3.middleware_onion)
        self._lock = threading.Lock()
        self._ahead_s = 0  # of the clock on the wall, by `evm_increaseTime`
        self._blocks: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}  # of chain blocks by their hash
        self._transactions: dict[str, dict[str, Any]] = {}
        self._receipts: dict[str, dict[str, Any]] = {}
        self._logs: list[dict[str, Any]] = []
        self._logged_in: list[int] = []  # the chain block of each log
        self._now: Any = None  # the machine after the newest chain block, which calls are made on
        self._note(self._chain.get_canonical_block_by_number(0), (), ())
        self._methods: dict[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(CHAIN_ID),
            "net_version": lambda: str(CHAIN_ID),
            "eth_blockNumber": lambda: self._blocks[-1]["number"],
            "eth_gasPrice": lambda: hex(TIP),
            "eth_maxPriorityFeePerGas": lambda: hex(TIP),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionByHash": lambda sent: self._transactions.get(sent.lower()),
            "eth_getTransactionReceipt": lambda sent: self._receipts.get(sent.lower()),
            "eth_getTransactionCount": self._count,
            "eth_getLogs": self._find_logs,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": self._send,
            "evm_mine": self._mine,
            "evm_increaseTime": self._hurry,
        }

    def request(self, method: str, params: list[Any]) -> Any:
        """The result, as JSON knows it. Raises whatever py-evm or eth-tester raise for what they refuse."""
        with self._lock:
            known = self._methods.get(method)
            found = NotImplemented if known is None else known(*params)
            if found is NotImplemented:
                answer = self._others(method, params)
                if problem := answer.get("error"):
                    raise form.RpcError(problem)
                found = form.plain(answer.get("result"))
            return found

    def mine_if_due(self) -> None:
        """An empty chain block, unless this second has one already."""
        with self._lock:
            if self._time() > self._chain.get_canonical_head().timestamp:
                self._mine()

    # ── mining ──

    def _time(self) -> int:
        return int(time.time()) + self._ahead_s

    def _hurry(self, seconds: int) -> int:
        """From the next chain block on; as Ganache's and Anvil's. Never back: chain blocks would be older than those before them."""
        if seconds < 0:
            raise form.RpcError({"code": -32602, "message": f"evm_increaseTime: {seconds} seconds are no increase"})
        self._ahead_s += seconds
        return self._ahead_s

    def _follow_clock(self) -> None:
        parent = self._chain.get_canonical_head().timestamp
        self._chain.header = self._chain.header.copy(timestamp=max(self._time(), parent))

    def _send(self, raw: str) -> str:
        transaction = self._chain.get_transaction_builder().decode(bytes.fromhex(raw[2:]))
        self._follow_clock()
        _, receipt, computation = self._chain.apply_transaction(transaction)
        self._mine_block((transaction,), (form.Outcome(receipt, computation),))
        sent: str = form.hexed(transaction.hash)
        return sent

    def _mine(self) -> str:
        self._follow_clock()
        self._mine_block((), ())
        return "0x0"

    def _mine_block(self, transactions: tuple[Any, ...], outcomes: tuple[form.Outcome, ...]) -> None:
        block = self._chain.mine_block(coinbase=Address(bytes(20)), mix_hash=os.urandom(32))
        self._note(block, transactions, outcomes)

    def _note(self, block: Any, transactions: tuple[Any, ...], outcomes: tuple[form.Outcome, ...]) -> None:
        told = form.block(block)
        self._blocks.append(told)
        self._numbers[told["hash"]] = block.number
        for index, (transaction, outcome) in enumerate(zip(transactions, outcomes, strict=True)):
            seen = form.transaction(transaction, told, index)
            receipt = form.receipt(transaction, outcome, told, seen)
            self._transactions[seen["hash"]], self._receipts[seen["hash"]] = seen, receipt
            self._logs += receipt["logs"]
            self._logged_in += [block.number] * len(receipt["logs"])
        self._now = None

    # ── answers ──

    def _block_by_number(self, number: str, whole: bool = False) -> Any:
        if number == "pending":
            return NotImplemented
        at = len(self._blocks) - 1 if number in NEWEST else 0 if number == "earliest" else int(number, 16)
        return self._shown(self._blocks[at], whole) if at < len(self._blocks) else None

    def _block_by_hash(self, hash_: str, whole: bool = False) -> Any:
        at = self._numbers.get(hash_.lower())
        return None if at is None else self._shown(self._blocks[at], whole)

    def _shown(self, block: dict[str, Any], whole: bool) -> dict[str, Any]:
        return {**block, "transactions": [self._transactions[t] for t in block["transactions"]]} if whole else block

    def _count(self, account: str, at: Any = "latest") -> Any:
        return hex(self._state().get_nonce(form.data(account))) if at in NEWEST else NotImplemented

    def _state(self) -> Any:
        """Of the newest chain block. What is done to it must be taken back."""
        if self._now is None:
            self._now = self._chain.get_vm(at_header=self._chain.get_canonical_head())
        return self._now.state

    def _call(self, call: dict[str, Any], at: Any = "latest", *more: Any) -> Any:
        if more or at not in NEWEST:
            return NotImplemented
        computation = self._try(self._state(), call, int(call.get("gas", hex(GAS_LIMIT)), 16))
        if computation.is_error:
            raise computation.error
        return "0x" + computation.output.hex()

    def _estimate(self, call: dict[str, Any], at: Any = "latest", *more: Any) -> Any:
        """Two runs: all that is used with gas in plenty, before refunds; then whether that is enough.

        Where a call within asks for more than 63 of 64 parts of what is left it may not be, and what is enough is searched for.
        """
        if more or at not in NEWEST:
            return NotImplemented
        self._follow_clock()  # it is for the next chain block
        state = self._chain.get_vm().state
        plenty = self._try(state, call, GAS_LIMIT)
        if plenty.is_error:
            raise plenty.error
        failed, enough = 0, GAS_LIMIT
        wanted = GAS_LIMIT - plenty.get_gas_remaining()
        while enough - failed > enough // 1_000:
            if self._try(state, call, wanted).is_error:
                failed = wanted
            elif failed:
                enough = wanted
            else:
                return hex(wanted)
            wanted = min((failed + enough) // 2, failed + failed // 32)
        return hex(enough)

    def _try(self, state: Any, call: dict[str, Any], gas: int) -> Any:
        """Runs a call, and takes back what it did. Nobody pays for it."""
        from eth.vm.spoof import SpoofTransaction

        sender = Address(form.data(call["from"])) if call.get("from") else self._rich
        unsigned = self._chain.create_unsigned_transaction(
            nonce=state.get_nonce(sender),
            gas_price=0,
            gas=gas,
            to=form.data(call.get("to") or "0x"),
            value=int(call.get("value", "0x0"), 16),
            data=form.data(call.get("data") or call.get("input") or "0x"),
        )
        transaction = SpoofTransaction(unsigned, from_=sender)
        before = state.snapshot()
        try:
            executor = state.get_transaction_executor()
            return executor.build_computation(executor.build_evm_message(transaction), transaction)
        finally:
            state.revert(before)

    def _find_logs(self, query: dict[str, Any]) -> Any:
        """Logs by range, address and topics. eth-tester would look through every chain block; here most are empty."""
        if "blockHash" in query:
            at = self._numbers.get(query["blockHash"].lower(), len(self._blocks))
            first = last = at
        else:
            newest = len(self._blocks) - 1
            first, last = (form.number(query.get(name), newest) for name in ("fromBlock", "toBlock"))
        address = query.get("address") or []
        wanted = {a.lower() for a in ([address] if isinstance(address, str) else address)}
        among = self._logs[bisect_left(self._logged_in, first) : bisect_right(self._logged_in, last)]
        return [
            log
            for log in among
            if (not wanted or log["address"].lower() in wanted)
            and form.topics_match(log["topics"], query.get("topics") or [])
        ]
