"""EIP-712 structs that nodes and orchestrators sign, and the commitment: docs/protocol.md §5 and §6.

Source: EIP-712 (eips.ethereum.org/EIPS/eip-712). Hashing is eth-account's; the contracts' type hashes are tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from ostraka.errors import BadSignature
from ostraka.types import Address, Assignment

_STAGE = [
    {"name": "nodeId", "type": "uint64"},
    {"name": "start", "type": "uint16"},
    {"name": "stop", "type": "uint16"},
    {"name": "workBps", "type": "uint16"},
]
_TYPES: dict[str, dict[str, list[dict[str, str]]]] = {
    "Assignment": {
        "Assignment": [
            {"name": "jobId", "type": "uint256"},
            {"name": "replica", "type": "uint8"},
            {"name": "stages", "type": "Stage[]"},
        ],
        "Stage": _STAGE,
    },
    "Attestation": {
        "Attestation": [{"name": "assignment", "type": "bytes32"}, {"name": "commitment", "type": "bytes32"}]
    },
    "Receipt": {
        "Receipt": [
            {"name": "jobId", "type": "uint256"},
            {"name": "replica", "type": "uint8"},
            {"name": "stage", "type": "uint8"},
            {"name": "nodeId", "type": "uint64"},
            {"name": "start", "type": "uint16"},
            {"name": "stop", "type": "uint16"},
            {"name": "units", "type": "uint32"},
            {"name": "input", "type": "bytes32"},
            {"name": "output", "type": "bytes32"},
        ]
    },
    "Voucher": {
        "Voucher": [
            {"name": "payer", "type": "address"},
            {"name": "receiver", "type": "address"},
            {"name": "collectionId", "type": "bytes32"},
            {"name": "cumulativeAmount", "type": "uint128"},
        ]
    },
    "Ask": {
        "Ask": [
            {"name": "nodeId", "type": "uint64"},
            {"name": "session", "type": "bytes32"},
            {"name": "collectionId", "type": "bytes32"},
            {"name": "input", "type": "bytes32"},
            {"name": "time", "type": "uint64"},
        ]
    },
    "Signer": {"Signer": [{"name": "operator", "type": "address"}, {"name": "signer", "type": "address"}]},
}


@dataclass(frozen=True)
class Domain:
    """Where a signature counts: one chain, one contract."""

    chain_id: int
    contract: Address

    def message(self, primary: str, values: dict[str, Any]) -> SignableMessage:
        return encode_typed_data(
            {"name": "Ostraka", "version": "1", "chainId": self.chain_id, "verifyingContract": self.contract},
            _TYPES[primary],
            values,
        )


@dataclass(frozen=True)
class Receipt:
    """A stage's word for what it did: `input` and `output` are `trace.column` at its two borders."""

    job_id: int
    replica: int
    stage: int
    node_id: int
    start: int
    stop: int
    units: int
    input: bytes
    output: bytes


@dataclass(frozen=True)
class Voucher:
    """A payer's word that it owes `amount` wei of the token in all under `collection` (32 bytes): a newer one has a larger amount."""

    payer: Address
    receiver: Address
    collection: bytes
    amount: int


def voucher_message(domain: Domain, voucher: Voucher) -> SignableMessage:
    """In the domain of PaymentVouchers."""
    return domain.message(
        "Voucher",
        {
            "payer": voucher.payer,
            "receiver": voucher.receiver,
            "collectionId": voucher.collection,
            "cumulativeAmount": voucher.amount,
        },
    )


def ask_message(
    domain: Domain, node_id: int, session: bytes, collection: bytes, input_: bytes, time: int
) -> SignableMessage:
    """What a payer signs to have one node answer on its account, once: also in the domain of PaymentVouchers. `input_` is hashed."""
    values = {"nodeId": node_id, "session": session, "collectionId": collection, "input": keccak(input_), "time": time}
    return domain.message("Ask", values)


def assignment_message(domain: Domain, assignment: Assignment) -> SignableMessage:
    stages = [{"nodeId": s.node_id, "start": s.start, "stop": s.stop, "workBps": s.work_bps} for s in assignment.stages]
    return domain.message("Assignment", {"jobId": assignment.job_id, "replica": assignment.replica, "stages": stages})


def assignment_hash(domain: Domain, assignment: Assignment) -> bytes:
    """`hashStruct(Assignment)`: what the contract stores and attestations name."""
    return bytes(assignment_message(domain, assignment).body)


def attestation_message(domain: Domain, assignment: bytes, commitment: bytes) -> SignableMessage:
    return domain.message("Attestation", {"assignment": assignment, "commitment": commitment})


def receipt_message(domain: Domain, receipt: Receipt) -> SignableMessage:
    return domain.message(
        "Receipt",
        {
            "jobId": receipt.job_id,
            "replica": receipt.replica,
            "stage": receipt.stage,
            "nodeId": receipt.node_id,
            "start": receipt.start,
            "stop": receipt.stop,
            "units": receipt.units,
            "input": receipt.input,
            "output": receipt.output,
        },
    )


def signer_message(domain: Domain, operator: Address, signer: Address) -> SignableMessage:
    """Proof of possession of a hot key, in the NodeRegistry's domain: nobody registers another's key."""
    return domain.message("Signer", {"operator": operator, "signer": signer})


def sign(key: bytes, message: SignableMessage) -> bytes:
    """65 bytes r, s, v."""
    return bytes(Account.sign_message(message, key).signature)


def recover(message: SignableMessage, signature: bytes) -> Address:
    """Raises `BadSignature` when the bytes are no signature at all."""
    try:
        return Address(Account.recover_message(message, signature=signature))
    except Exception as error:
        raise BadSignature(f"signature: {len(signature)} bytes are not a secp256k1 signature ({error})") from error


def check_signer(message: SignableMessage, signature: bytes, expected: Address, what: str) -> None:
    """Raises `BadSignature` unless `expected` signed `message`."""
    got = recover(message, signature)
    if got != expected:
        raise BadSignature(f"{what}: signed by {got}, want {expected}")


def commit_domain(domain: Domain) -> bytes:
    return keccak(encode(["string", "uint256", "address"], ["ostraka/commit/1", domain.chain_id, domain.contract]))


def commitment(
    domain: Domain, job_id: int, replica: int, sender: Address, result: bytes, trace_root: bytes, salt: bytes
) -> bytes:
    """Salted and bound to its sender, so that nobody can commit to what another computed."""
    return keccak(
        encode(
            ["bytes32", "uint256", "uint8", "address", "bytes32", "bytes32", "bytes32"],
            [commit_domain(domain), job_id, replica, sender, result, trace_root, salt],
        )
    )
