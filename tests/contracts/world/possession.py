"""A model of real bytes, and proofs over it: docs/protocol.md §1 written again, so that the contract is compared with this."""

from __future__ import annotations

from eth_abi import encode
from eth_utils import keccak

from .market import BLOCKS, OSTR, POSSESSION, STAKE, Node, World
from .trace import proof_of, root_of, sha

WINDOW, COOLDOWN, BOND, MIN_SLASH, SLASH_BPS = POSSESSION
PENALTY = STAKE * SLASH_BPS // 10_000
CHALLENGER_BPS = 3_000
KEPT = 256
CHUNK = 1024
S_NONE, S_OPEN, S_PROVEN, S_FAILED, S_VOID = range(5)
REAL = sha(b"a model of real bytes")


def bytes_of(block: int, size: int) -> bytes:
    pieces = [sha(b"weights", bytes([block]), i.to_bytes(4, "big")) for i in range(size // 32 + 1)]
    return b"".join(pieces)[:size]


FILES = [bytes_of(block, size) for block, size in enumerate((300, 1024, 5 * 1024 - 7, 3 * 1024))]
assert len(FILES) == BLOCKS


def chunks_of(file: bytes) -> list[bytes]:
    return [file[i : i + CHUNK] for i in range(0, len(file), CHUNK)]


def values_of(file: bytes) -> list[bytes]:
    return [sha(chunk) for chunk in chunks_of(file)]


def block_values(files: list[bytes]) -> list[bytes]:
    return [sha(len(chunks_of(file)).to_bytes(4, "big"), root_of(values_of(file))) for file in files]


def shard_root(files: list[bytes]) -> bytes:
    return root_of(block_values(files))


def seed_of(block_hash: bytes, challenge_id: int) -> bytes:
    return keccak(encode(["bytes32", "uint256"], [block_hash, challenge_id]))


def pick(seed: bytes, start: int, stop: int, chunks: int) -> tuple[int, int]:
    number = int.from_bytes(seed, "big")
    return start + number % 2**128 % (stop - start), (number >> 128) % chunks


def proof(block: int, chunk: int, files: list[bytes] = FILES, /, **changes) -> tuple:
    """As the contract takes it; `changes` forge single fields."""
    file = files[block]
    values = {
        "count": len(chunks_of(file)),
        "root": root_of(values_of(file)),
        "block_proof": proof_of(block_values(files), block),
        "chunk": chunks_of(file)[chunk],
        "chunk_proof": proof_of(values_of(file), chunk),
    } | changes
    return tuple(values.values())


def picked(seed: bytes, start: int, stop: int) -> tuple[int, int]:
    """Block and chunk: the block says how many chunks there are to pick from."""
    block, _ = pick(seed, start, stop, 1)
    return block, pick(seed, start, stop, len(chunks_of(FILES[block])))[1]


def serve_real(world: World, node: Node, start: int = 0, stop: int = BLOCKS) -> None:
    world.shards.claim(node.id, REAL, start, stop, node.operator.pays)


def publish_real(world: World) -> None:
    world.publish(REAL, shard_root=shard_root(FILES))
    world.others.append(world.shards.address)
    for actor in (world.challenger, world.stranger):
        world.fund(actor, 10 * OSTR, world.shards)
