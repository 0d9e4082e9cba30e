"""EIP-712 by eth-account: the contracts' own hashing is compared with it."""

from __future__ import annotations

from eth_abi import encode
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils import keccak

STAGE = [("nodeId", "uint64"), ("start", "uint16"), ("stop", "uint16"), ("workBps", "uint16")]
TYPES = {
    "Assignment": {
        "Assignment": [("jobId", "uint256"), ("replica", "uint8"), ("stages", "Stage[]")],
        "Stage": STAGE,
    },
    "Attestation": {"Attestation": [("assignment", "bytes32"), ("commitment", "bytes32")]},
    "Settlement": {
        "Settlement": [("jobId", "uint256"), ("resultHash", "bytes32"), ("replicas", "Assignment[]")],
        "Assignment": [("jobId", "uint256"), ("replica", "uint8"), ("stages", "Stage[]")],
        "Stage": STAGE,
    },
    "Receipt": {
        "Receipt": [
            ("jobId", "uint256"),
            ("replica", "uint8"),
            ("stage", "uint8"),
            ("nodeId", "uint64"),
            ("start", "uint16"),
            ("stop", "uint16"),
            ("units", "uint32"),
            ("input", "bytes32"),
            ("output", "bytes32"),
        ]
    },
    "Signer": {"Signer": [("operator", "address"), ("signer", "address")]},
}


class Domain:
    def __init__(self, chain_id: int, contract: str, name: str = "Ostraka", version: str = "1") -> None:
        self.values = {"name": name, "version": version, "chainId": chain_id, "verifyingContract": contract}

    def message(self, primary: str, values: dict) -> SignableMessage:
        types = {
            name: [{"name": field, "type": kind} for field, kind in fields] for name, fields in TYPES[primary].items()
        }
        return encode_typed_data(self.values, types, values)

    @staticmethod
    def _assignment(job_id: int, replica: int, stages: list[tuple]) -> dict:
        rows = [dict(zip([name for name, _ in STAGE], stage, strict=True)) for stage in stages]
        return {"jobId": job_id, "replica": replica, "stages": rows}

    def assignment(self, job_id: int, replica: int, stages: list[tuple]) -> SignableMessage:
        return self.message("Assignment", self._assignment(job_id, replica, stages))

    def settlement(self, job_id: int, result_hash: bytes, replicas: list[list[tuple]]) -> SignableMessage:
        rows = [self._assignment(job_id, i, stages) for i, stages in enumerate(replicas)]
        return self.message("Settlement", {"jobId": job_id, "resultHash": result_hash, "replicas": rows})

    def receipt(self, *values) -> SignableMessage:
        names = [name for name, _ in TYPES["Receipt"]["Receipt"]]
        return self.message("Receipt", dict(zip(names, values, strict=True)))

    def attestation(self, assignment: bytes, commitment: bytes) -> SignableMessage:
        return self.message("Attestation", {"assignment": assignment, "commitment": commitment})

    def signer(self, operator: str, signer: str) -> SignableMessage:
        return self.message("Signer", {"operator": operator, "signer": signer})

    def commitment(
        self, job_id: int, replica: int, sender: str, result: bytes, trace_root: bytes, salt: bytes
    ) -> bytes:
        domain = keccak(
            encode(
                ["string", "uint256", "address"],
                ["ostraka/commit/1", self.values["chainId"], self.values["verifyingContract"]],
            )
        )
        return keccak(
            encode(
                ["bytes32", "uint256", "uint8", "address", "bytes32", "bytes32", "bytes32"],
                [domain, job_id, replica, sender, result, trace_root, salt],
            )
        )


def seal(lead: int, assignment: bytes, commitment: bytes, followers: int = 0) -> bytes:
    """What the market stores of a commit: 32 bits of operator id, how many stages follow, 216 bits of hash."""
    return lead.to_bytes(4, "big") + bytes([followers]) + keccak(assignment + commitment)[:27]


def sign(key: bytes, message: SignableMessage) -> bytes:
    return bytes(Account.sign_message(message, key).signature)
