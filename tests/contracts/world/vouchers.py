"""Vouchers by eth-account, and a payer with a deposit."""

from __future__ import annotations

from brownie import web3
from eth_account.messages import SignableMessage, encode_typed_data

from .signing import sign

THAW = 900
TYPES = {
    "Voucher": [
        {"name": "payer", "type": "address"},
        {"name": "receiver", "type": "address"},
        {"name": "collectionId", "type": "bytes32"},
        {"name": "cumulativeAmount", "type": "uint128"},
    ]
}


def message(contract, voucher: tuple, chain_id: int | None = None) -> SignableMessage:
    domain = {
        "name": "Ostraka",
        "version": "1",
        "chainId": chain_id or web3.eth.chain_id,
        "verifyingContract": contract if isinstance(contract, str) else contract.address,
    }
    names = [field["name"] for field in TYPES["Voucher"]]
    return encode_typed_data(domain, TYPES, dict(zip(names, voucher, strict=True)))


def signed(contract, key: bytes, voucher: tuple, chain_id: int | None = None) -> bytes:
    return sign(key, message(contract, voucher, chain_id))
