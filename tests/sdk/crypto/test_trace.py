from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostraka.crypto.canonical import canonical_json
from ostraka.crypto.merkle import depth, merkle_proof, merkle_root, verify_proof
from ostraka.crypto.trace import chain, column, first_divergence, make_result, output_digest, result_hash

MODEL, INPUT = bytes([1]) * 32, bytes([2]) * 32
values = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def digests(n, borders=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, borders, 32), dtype=np.uint8)


@given(values, st.data())
def test_every_value_proves_itself_and_nothing_else(items, data):
    index = data.draw(st.integers(0, len(items) - 1))
    root, proof = merkle_root(items), merkle_proof(items, index)
    assert len(proof) == depth(len(items))
    assert verify_proof(root, len(items), index, items[index], proof)
    assert not verify_proof(root, len(items), index, b"\xff" * 31 + b"\x01", proof) or items[index][-1] == 1
    for other in range(len(items)):
        if items[other] != items[index]:
            assert not verify_proof(root, len(items), other, items[index], proof)


def test_the_tree_of_one_value_is_its_leaf():
    assert merkle_root([b"v" * 32]) == hashlib.sha256(b"\x00" + b"v" * 32).digest()


def test_an_empty_tree_is_refused():
    with pytest.raises(ValueError):
        merkle_root([])


def test_a_node_cannot_be_shown_as_a_leaf():
    left, right = b"l" * 32, b"r" * 32
    inner = hashlib.sha256(b"\x00" + left).digest() + hashlib.sha256(b"\x00" + right).digest()
    assert merkle_root([inner]) != merkle_root([left, right])


def test_each_position_depends_on_all_before_it():
    honest, changed = digests(6), digests(6)
    changed[2, 1, 0] ^= 1
    a, b = chain(honest, MODEL, INPUT), chain(changed, MODEL, INPUT)
    assert a[:3] == b[:3]
    assert all(x != y for x, y in zip(a[3:], b[3:], strict=True))
    assert chain(honest, INPUT, INPUT)[0] != a[0] != chain(honest, MODEL, MODEL)[0]


def test_the_result_hash_covers_units_tokens_and_trace():
    base = make_result(digests(4), [5, 6], MODEL, INPUT)
    assert base.hash == result_hash(4, output_digest([5, 6]), base.trace_root)
    others = [
        make_result(digests(4), [5, 7], MODEL, INPUT),
        make_result(digests(4, seed=1), [5, 6], MODEL, INPUT),
        make_result(digests(3), [5, 6], MODEL, INPUT),
    ]
    assert len({base.hash, *(o.hash for o in others)}) == 4


def test_tokens_cannot_be_regrouped():
    assert output_digest([1]) != output_digest([1, 0]) != output_digest([256])


@given(st.integers(1, 12), st.data())
def test_the_first_divergence_is_found_and_proves_itself(n, data):
    honest = digests(n)
    position = data.draw(st.integers(0, n - 1))
    border = data.draw(st.integers(0, 4))
    cheat = honest.copy()
    cheat[position, border:] ^= 7
    cheat[position + 1 :] ^= 9
    found = first_divergence(cheat, honest, MODEL, INPUT)
    assert (found.position, found.border) == (position, border)
    for digest_row, proof, whole in (
        (found.loser_digests, found.loser_proof, cheat),
        (found.winner_digests, found.winner_proof, honest),
    ):
        link = hashlib.sha256(found.previous + b"".join(digest_row)).digest()
        root = make_result(whole, [], MODEL, INPUT).trace_root
        assert verify_proof(root, n, position, link, proof)


def test_equal_traces_do_not_diverge():
    assert first_divergence(digests(3), digests(3), MODEL, INPUT) is None


def test_a_trace_that_ends_early_diverges_at_the_last_shared_position():
    short, long = digests(5)[:3], digests(5)
    for loser, winner in ((short, long), (long, short)):
        found = first_divergence(loser, winner, MODEL, INPUT)
        assert (found.position, found.border) == (2, 0)
        assert found.loser_digests == found.winner_digests
        link = hashlib.sha256(found.previous + b"".join(found.loser_digests)).digest()
        for proof, whole in ((found.loser_proof, loser), (found.winner_proof, winner)):
            assert verify_proof(make_result(whole, [], MODEL, INPUT).trace_root, len(whole), 2, link, proof)


def test_a_receipt_column_is_one_border_of_all_positions():
    d = digests(3)
    assert column(d, 2) == hashlib.sha256(b"".join(d[p, 2].tobytes() for p in range(3))).digest()


def test_malformed_digests_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        chain(np.zeros((2, 3, 31), np.uint8), MODEL, INPUT)


def test_canonical_json_has_one_form():
    assert canonical_json({"b": 1, "a": [True, None, "é"]}) == '{"a":[true,null,"é"],"b":1}'.encode()


@pytest.mark.parametrize("value", [1.5, {"a": [0.1]}, {"a": {"b": float("nan")}}])
def test_floats_are_refused_with_their_path(value):
    with pytest.raises(ValueError, match="value"):
        canonical_json(value)
