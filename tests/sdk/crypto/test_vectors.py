"""Trees, traces and divergences as `ostraka.crypto` makes them, written down for tests/contracts/test_hashes.py, which cannot import it.

`OSTRAKA_WRITE_VECTORS=1` writes the file instead of comparing it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ostraka.crypto.merkle import merkle_proof, merkle_root
from ostraka.crypto.trace import chain, first_divergence, result_of, words_digest

FILE = Path(__file__).parents[2] / "contracts/vectors/traces.json"
MODEL, INPUT = (hashlib.sha256(name).digest() for name in (b"a model", b"an input"))
COUNTS = (1, 2, 3, 4, 5, 8, 9, 33)
BORDERS = 4


def some(count: int) -> list[bytes]:
    return [hashlib.sha256(f"value {i}".encode()).digest() for i in range(count)]


def a_tree(count: int) -> dict[str, Any]:
    values = some(count)
    places = sorted({0, count // 2, count - 1})
    return {
        "values": [value.hex() for value in values],
        "root": merkle_root(values).hex(),
        "proofs": {str(i): [sibling.hex() for sibling in merkle_proof(values, i)] for i in places},
    }


def digests(units: int) -> np.ndarray:
    """Uint8 of shape [units, BORDERS, 32]."""
    rows = b"".join(hashlib.sha256(bytes([p, c])).digest() for p in range(units) for c in range(BORDERS))
    return np.frombuffer(rows, np.uint8).reshape(units, BORDERS, 32).copy()


def a_trace(rows: np.ndarray, words: bytes) -> dict[str, Any]:
    first, *links = chain(rows, MODEL, INPUT)
    result = result_of(rows, words, MODEL, INPUT)
    return {
        "rows": [[digest.tobytes().hex() for digest in row] for row in rows],
        "first": first.hex(),
        "links": [link.hex() for link in links],
        "words": words.hex(),
        "output": words_digest(words).hex(),
        "root": result.trace_root.hex(),
        "result": result.hash.hex(),
    }


def a_divergence(units: int, position: int, border: int) -> dict[str, Any]:
    winner, loser = digests(units), digests(units)
    loser[position, border:] ^= 7
    loser[position + 1 :] ^= 9
    found = first_divergence(loser, winner, MODEL, INPUT)
    assert found is not None
    return {
        "loser": a_trace(loser, b""),
        "winner": a_trace(winner, b""),
        "position": found.position,
        "border": found.border,
        "previous": found.previous.hex(),
        "loserProof": [sibling.hex() for sibling in found.loser_proof],
        "winnerProof": [sibling.hex() for sibling in found.winner_proof],
    }


def made() -> dict[str, Any]:
    return {
        "model": MODEL.hex(),
        "input": INPUT.hex(),
        "trees": [a_tree(count) for count in COUNTS],
        "traces": [a_trace(digests(units), bytes(range(4 * units))) for units in (1, 3, 6)],
        "divergences": [a_divergence(units, *at) for units, at in ((1, (0, 0)), (5, (2, 1)), (6, (5, BORDERS - 1)))],
    }


def test_the_contracts_tests_should_hold_the_vectors_of_today():
    if os.environ.get("OSTRAKA_WRITE_VECTORS"):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(made(), indent=1) + "\n")
    assert json.loads(FILE.read_text()) == made()
