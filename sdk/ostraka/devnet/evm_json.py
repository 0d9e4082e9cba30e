"""What py-evm has, as JSON-RPC writes it: quantities as hex strings, bytes as 0x strings. Field for field as eth-tester tells it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

import rlp
from eth_utils.address import to_checksum_address

_CREATED_BY_ERROR = bytes.fromhex("08c379a0")  # Error(string)


class RpcError(Exception):
    """What eth-tester refused, in its own words."""


@dataclass(frozen=True)
class Outcome:
    """What became of one transaction: py-evm's receipt and computation."""

    receipt: Any
    computation: Any


def data(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def number(text: str | None, newest: int) -> int:
    return newest if text in (None, "latest", "pending") else 0 if text == "earliest" else int(str(text), 16)


def block(found: Any) -> dict[str, Any]:
    """With the hashes of its transactions."""
    header = found.header
    return {
        "number": hex(header.block_number),
        "hash": hexed(header.hash),
        "parentHash": hexed(header.parent_hash),
        "nonce": hexed(header.nonce),
        "sha3Uncles": hexed(header.uncles_hash),
        "logsBloom": hexed(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": hexed(header.transaction_root),
        "receiptsRoot": hexed(header.receipt_root),
        "stateRoot": hexed(header.state_root),
        "miner": to_checksum_address(header.coinbase),
        "difficulty": hex(header.difficulty),
        "totalDifficulty": hex(header.difficulty),
        "mixHash": hexed(header.mix_hash),
        "size": hex(len(rlp.encode(found))),
        "extraData": hexed(header.extra_data.rjust(32, b"\0")),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "transactions": [hexed(transaction.hash) for transaction in found.transactions],
        "uncles": [],
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawals": [],
        "withdrawalsRoot": hexed(header.withdrawals_root),
    }


def transaction(sent: Any, in_block: dict[str, Any], index: int) -> dict[str, Any]:
    kind = sent.type_id or 0  # the oldest kind has none
    told = {
        "type": hex(kind),
        "hash": hexed(sent.hash),
        "nonce": hex(sent.nonce),
        "blockHash": in_block["hash"],
        "blockNumber": in_block["number"],
        "transactionIndex": hex(index),
        "from": to_checksum_address(sent.sender),
        "to": to_checksum_address(sent.to) if sent.to else None,
        "value": hex(sent.value),
        "gas": hex(sent.gas),
        "gasPrice": hex(_price(sent, in_block)),
        "input": hexed(sent.data),
        "r": hex(sent.r),
        "s": hex(sent.s),
    }
    if not kind:
        return told | {"v": hex(sent.v)}
    told |= {"chainId": hex(sent.chain_id), "v": hex(sent.y_parity), "yParity": hex(sent.y_parity)}
    told["accessList"] = [
        {"address": to_checksum_address(account), "storageKeys": [hexed(slot.to_bytes(32, "big")) for slot in slots]}
        for account, slots in sent.access_list
    ]
    if kind >= 2:
        told |= {"maxFeePerGas": hex(sent.max_fee_per_gas), "maxPriorityFeePerGas": hex(sent.max_priority_fee_per_gas)}
    return told


def _price(sent: Any, in_block: dict[str, Any]) -> int:
    """What each unit of gas cost."""
    if (sent.type_id or 0) < 2:
        return int(sent.gas_price)
    return int(min(sent.max_fee_per_gas, sent.max_priority_fee_per_gas + int(in_block["baseFeePerGas"], 16)))


def receipt(sent: Any, outcome: Outcome, in_block: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """`seen` is the transaction as told."""
    place = {name: seen[name] for name in ("transactionIndex", "blockHash", "blockNumber")}
    place["transactionHash"] = seen["hash"]
    created = None if sent.to else to_checksum_address(outcome.computation.msg.storage_address)
    return {
        **place,
        "contractAddress": created,
        "cumulativeGasUsed": hex(outcome.receipt.gas_used),
        "effectiveGasPrice": seen["gasPrice"],
        "from": seen["from"],
        "gasUsed": hex(outcome.receipt.gas_used),  # the only one of its chain block
        "logs": [
            {
                **place,
                "type": "mined",
                "logIndex": hex(index),
                "address": to_checksum_address(log.address),
                "data": hexed(log.data),
                "topics": [hexed(topic.to_bytes(32, "big")) for topic in log.topics],
            }
            for index, log in enumerate(outcome.receipt.logs)
        ],
        "logsBloom": hexed(outcome.receipt.bloom.to_bytes(256, "big")),
        "status": hex(int.from_bytes(outcome.receipt.state_root, "big")),
        "to": seen["to"],
        "type": seen["type"],
    }


def topics_match(topics: list[str], wanted: list[Any]) -> bool:
    """One entry a place: None for anything, a topic, or a list of which one must match."""
    if len(wanted) > len(topics):
        return False
    pairs = zip(topics, wanted, strict=False)
    return all(w is None or t in (w if isinstance(w, list) else [w]) for t, w in pairs)


def error(problem: Exception) -> dict[str, Any]:
    """A revert keeps its data, so that clients can name the contract's custom error."""
    from eth.exceptions import Revert, VMError
    from eth_tester.exceptions import TransactionFailed

    message = str(problem)
    if isinstance(problem, RpcError):
        told = problem.args[0]
        return told if isinstance(told, dict) else {"code": -32000, "message": str(told)}
    if isinstance(problem, TransactionFailed):  # passes data on only as the printed form of a bytes object
        printed = re.search(r"""b(['"]).*\1""", message, re.DOTALL)
        given = ast.literal_eval(printed.group()) if printed else b""
        return {"code": 3, "message": message if not given else "execution reverted", "data": hexed(given)}
    if isinstance(problem, Revert):
        given = problem.args[0] if problem.args and isinstance(problem.args[0], bytes) else b""
        return {"code": 3, "message": f"execution reverted{_reason(given)}", "data": hexed(given)}
    if isinstance(problem, VMError):
        return {"code": -32000, "message": message or type(problem).__name__}
    return {"code": -32000, "message": f"{type(problem).__name__}: {message}"}


def _reason(given: bytes) -> str:
    """`: …` where a contract gave its reason as a string."""
    if given[:4] != _CREATED_BY_ERROR:
        return ""
    size = int.from_bytes(given[36:68], "big")
    return ": " + given[68 : 68 + size].decode(errors="replace")


def plain(value: Any) -> Any:
    """Whatever eth-tester answers."""
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def hexed(value: bytes) -> str:
    return "0x" + bytes(value).hex()
