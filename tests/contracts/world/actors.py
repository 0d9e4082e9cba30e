"""Who takes part. Every actor is an account of the test chain whose key is known, so that it can sign messages too."""

from __future__ import annotations

from dataclasses import dataclass

from brownie import accounts
from eth_account import Account

MNEMONIC = "myth like bonus scare over problem client lizard pioneer submit female collect"  # Ganache's deterministic one


@dataclass(frozen=True)
class Actor:
    account: object
    key: bytes

    @property
    def address(self) -> str:
        return self.account.address

    @property
    def pays(self) -> dict:
        """`market.withdraw(requester.pays)` reads as: the requester sends this."""
        return {"from": self.account}


@dataclass(frozen=True)
class Node:
    id: int
    operator: Actor
    signer: Actor


def all_actors() -> list[Actor]:
    Account.enable_unaudited_hdwallet_features()
    found = []
    for index, account in enumerate(accounts):
        key = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}").key
        assert Account.from_key(key).address == account.address
        found.append(Actor(account, bytes(key)))
    return found
