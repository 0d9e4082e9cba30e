"""Recomputing a disputed block from a trace, and the products that it multiplied."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.worker.engine.tiny import tiny_model

from ostraka.chain.court_views import Question, Verdict
from ostraka.crypto.merkle import merkle_root, verify_proof
from ostraka.crypto.trace import chain
from ostraka.crypto.weights import leaf_of, packed, products_root
from ostraka.errors import BadFrame
from ostraka.wire.job_input import JobInput
from ostraka.wire.messages import Activations, Products
from ostraka.wire.sampling import Sampling
from ostraka_worker.disputes.replay import fits, replay
from ostraka_worker.disputes.shown import first_wrong, pack_products, unpack_products
from ostraka_worker.disputes.tap import block_rows, products_of
from ostraka_worker.disputes.weights import weight_tree
from ostraka_worker.engine.local import generate_local
from ostraka_worker.kernels.gemm import ReferenceKernel
from ostraka_worker.kernels.probe import pick_kernel

MANIFEST, FILES = tiny_model()
LOAD = FILES.__getitem__
BLOCKS = len(MANIFEST.blocks)
KERNEL, _ = pick_kernel()
JOB = JobInput(prompt=[5, 9, 30, 7, 3], max_tokens=6, stop=[2], sampling=Sampling(temperature_milli=900, seed=11))
WRONG = b"\x5a" * 32


@pytest.fixture(scope="module")
def trace():
    return generate_local(MANIFEST, LOAD, JOB.prompt, JOB.max_tokens, JOB.stop, KERNEL, sampling=JOB.sampling)[1]


def question(trace, block, position, loser=None, winner=None):
    right = trace[position, block + 1].tobytes()
    previous = chain(trace[:position], MANIFEST.digest, JOB.digest)[-1]
    told = (previous, trace[position, block].tobytes(), loser or right, winner or right)
    return Question(512, 2, MANIFEST.digest, 0, 1, position, block, *told)


def found(trace, asked, terms=JOB.terms, kernel=KERNEL):
    return replay(MANIFEST, LOAD, kernel, asked, trace, terms)


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("position", [0, 4, 7])
def test_every_block_is_judged_as_the_honest_network_computed_it(trace, block, position):
    wrong_loser = question(trace, block, position, loser=WRONG)
    again = found(trace, wrong_loser)
    assert again.verdict(wrong_loser) is Verdict.LOSER_GUILTY
    assert again.verdict(question(trace, block, position, winner=WRONG)) is Verdict.WINNER_GUILTY
    assert again.verdict(question(trace, block, position, WRONG, b"\1" * 32)) is Verdict.BOTH_GUILTY


def test_what_cannot_be_told_is_not_told(trace):
    head = question(trace, BLOCKS - 1, 6, loser=WRONG)
    assert found(trace, head, terms=None) is None, "how the head sampled is not known"
    forged = trace.copy()
    forged[1, 2] ^= 1  # both sides agree on a row that the model does not give
    assert found(forged, question(forged, BLOCKS - 2, 6, loser=WRONG)) is None
    forged = trace.copy()
    forged[0, 0] ^= 1  # no token's hash
    assert found(forged, question(forged, 0, 6, loser=WRONG)) is None


def test_a_trace_fits_only_the_question_it_is_the_history_of(trace):
    asked = question(trace, 1, 4, loser=WRONG)
    assert fits(asked, trace, JOB.digest)
    assert not fits(asked, trace[:4], JOB.digest), "too short"
    assert not fits(asked, trace, b"\0" * 32), "of another job"
    for place in ((4, 1), (2, BLOCKS)):
        other = trace.copy()
        other[place] ^= 1
        assert not fits(asked, other, JOB.digest), place
    later = trace.copy()
    later[5:] ^= 1
    assert fits(asked, later, JOB.digest), "what came after does not matter"


@pytest.mark.parametrize("block", [1, BLOCKS - 1])
def test_products_are_the_same_on_every_kernel_and_give_the_matrices_sums(trace, block):
    asked = question(trace, block, 6, loser=WRONG)
    again, reference = found(trace, asked), found(trace, asked, kernel=ReferenceKernel())
    claims = products_of(again.tap)
    assert products_root(claims) == products_root(products_of(reference.tap))
    rows = block_rows(again.tap, block)
    assert {(c.op, c.row) for c in claims} == {(r.op, r.row) for r in rows}
    for claim in claims:
        weights = again.tap.matrices[claim.op].weight[claim.row].astype(np.int64)
        assert claim.claimed == int(weights @ claim.activations.astype(np.int64))


def test_a_wrong_product_is_found_and_proved_under_both_roots(trace):
    again = found(trace, question(trace, 2, 6, loser=WRONG))
    claims = products_of(again.tap)
    weights = [matrix.weight for matrix in again.tap.matrices]
    assert first_wrong(claims, weights) is None
    at = len(claims) // 2
    claims[at] = msgspec_replace(claims[at], claimed=claims[at].claimed - 1)
    shown = unpack_products(msgspec.msgpack.decode(msgspec.msgpack.encode(pack_products(claims)), type=Products))
    assert [c.value for c in shown] == [c.value for c in claims]
    assert first_wrong(shown, weights) == at
    tree = weight_tree(MANIFEST, LOAD)
    assert tree.root == merkle_root(tree.values)
    row = block_rows(again.tap, 2)[tree.index(2, claims[at].op, claims[at].row) - tree.index(2, 0, 0)]
    place = tree.index(2, row.op, row.row)
    assert tree.values[place] == row.value
    leaf = leaf_of(row, tree.values, place, shown, at)
    assert leaf[4:9] == (claims[at].claimed, row.packed, packed(claims[at].activations), place, at)
    assert verify_proof(tree.root, len(tree.values), place, row.value, leaf[9])
    assert verify_proof(products_root(shown), len(shown), at, claims[at].value, leaf[10])


def msgspec_replace(claim, **changes):
    import dataclasses

    return dataclasses.replace(claim, **changes)


def test_products_that_are_none_are_refused_by_name():
    for parts in (
        [Activations(0, 0, b"", b"\0" * 4)],
        [Activations(0, 0, b"\1", b"\0" * 3)],
        [Activations(0, 0, b"\1", b"\0" * 4), Activations(0, 1, b"\1", b"\0" * 8)],
    ):
        with pytest.raises(BadFrame, match="products"):
            unpack_products(Products(parts))
