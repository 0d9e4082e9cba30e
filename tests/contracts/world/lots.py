"""Draws by lot, written again from ISortition as plain lists: the contract's tree is compared with this."""

from __future__ import annotations

from dataclasses import dataclass, field

from brownie import web3
from eth_abi import encode
from eth_utils import keccak


def block_number() -> int:
    return web3.eth.block_number


def mine(blocks: int) -> None:
    if blocks <= 0:
        return
    before = block_number()
    if "anvil" in web3.client_version.lower():
        web3.provider.make_request("anvil_mine", [hex(blocks), hex(1)])  # a second apart, like all others
    else:
        web3.provider.make_request("evm_mine", [{"blocks": blocks}])
    assert block_number() == before + blocks


def next_block_is(number: int) -> None:
    """The next transaction happens in this very chain block."""
    mine(number - 1 - block_number())
    assert block_number() == number - 1, "the chain grows one way only"


def seed_of(contract: str, request: int, block_hash: bytes) -> bytes:
    return keccak(encode(["address", "uint256", "bytes32"], [contract, request, block_hash]))


@dataclass
class Lots:
    """Who has which slot with what weight, and since which round."""

    round_blocks: int
    changes: list[tuple[int, int, str, int]] = field(default_factory=list)  # round, slot, operator, weight

    def round(self, block: int) -> int:
        return block // self.round_blocks + 1

    def change(self, block: int, slot: int, operator: str, weight: int) -> None:
        self.changes.append((self.round(block), slot, operator, weight))

    def at(self, round_: int) -> list[tuple[str, int]]:
        """Operators and weights in order of their slots, as the round began."""
        slots = {}
        for changed_in, slot, operator, weight in self.changes:
            if changed_in < round_:
                slots[slot] = (operator, weight)
        return [slots[slot] for slot in sorted(slots)]

    def draw(self, seed: bytes, seed_block: int, seats: int, excluded: list[str] = ()) -> list[str]:
        left = [entry for entry in self.at(self.round(seed_block)) if entry[1]]
        drawn, thrown = [], 0
        while len(drawn) < seats and left:
            ticket = int.from_bytes(keccak(seed + thrown.to_bytes(32, "big")), "big") % sum(w for _, w in left)
            thrown += 1
            place = 0
            while ticket >= left[place][1]:
                ticket -= left[place][1]
                place += 1
            operator, _ = left.pop(place)
            if operator not in excluded:
                drawn.append(operator)
        return drawn
