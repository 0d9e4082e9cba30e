"""Weight rows and products: the bytes that the Adjudicator hashes. tests/contracts/test_adjudicator.py holds the same vectors."""

from __future__ import annotations

import numpy as np
import pytest

from ostraka.crypto.merkle import verify_proof
from ostraka.crypto.weights import (
    HIGH,
    LOW,
    REST,
    Product,
    WeightRow,
    leaf,
    limbs,
    packed,
    products,
    products_root,
    weights_root,
)

WEIGHTS_ROOT = "79df570c234bd46cdf6c587f152ee4fd770779e2c82a1e8d747744df3e75ed1d"
PRODUCTS_ROOT = "78766add048257f49bb9f43de9a2ad1efe2c90e14fb77964e599c9121a9c5af6"


def spread(count: int, step: int) -> np.ndarray:
    return np.array([(i * step + 11) % 256 - 128 for i in range(count)], dtype=np.int8)


WEIGHTS = [WeightRow(block, op, row, spread(40, 37 + 2 * row)) for block in (3, 4) for op in (0, 7) for row in range(3)]
INPUTS = {(0, REST): spread(40, 91), (0, LOW): spread(40, 5), (7, REST): spread(40, 13)}


def test_roots_should_be_those_that_the_contract_accepts():
    assert weights_root(WEIGHTS).hex() == WEIGHTS_ROOT
    assert products_root(products(WEIGHTS, 4, INPUTS)).hex() == PRODUCTS_ROOT


def test_products_should_be_those_of_the_block_in_the_order_of_its_rows():
    found = products(WEIGHTS, 4, INPUTS)
    assert [(one.op, one.limb, one.row) for one in found] == [
        *[(0, limb, row) for row in range(3) for limb in (REST, LOW)],
        *[(7, REST, row) for row in range(3)],
    ]
    plain = sum(int(a) * int(b) for a, b in zip(WEIGHTS[6].values, INPUTS[0, REST], strict=True))
    assert found[0].claimed == plain


def test_a_leaf_should_prove_both_its_places():
    found = products(WEIGHTS, 4, INPUTS)
    (op, limb, row, length, claimed, weights, activations, at, claim, weight_proof, claim_proof) = leaf(
        WEIGHTS, 7, found, 2
    )
    assert (op, limb, row, length, claimed) == (0, REST, 1, 40, found[2].claimed)
    assert weights == bytes(24) + WEIGHTS[7].values.tobytes()[::-1]
    assert activations == INPUTS[0, REST].tobytes() + bytes(24)
    assert verify_proof(weights_root(WEIGHTS), len(WEIGHTS), at, WEIGHTS[7].value, weight_proof)
    assert verify_proof(products_root(found), len(found), claim, found[2].value, claim_proof)
    with pytest.raises(ValueError, match="product 0 is not of weight row 7"):
        leaf(WEIGHTS, 7, found, 0)


@pytest.mark.parametrize("value", [-32_896, -32_512, -129, -128, -1, 0, 127, 128, 255, 32_512, 32_639])
def test_limbs_should_add_up(value):
    low, high = limbs(np.array([value]))
    assert int(low[0]) + 256 * int(high[0]) == value


@pytest.mark.parametrize("value", [-32_897, 32_640])
def test_an_outlier_of_more_than_two_limbs_should_be_refused(value):
    with pytest.raises(ValueError, match="between -32896 and 32639"):
        limbs(np.array([value]))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(4, dtype=np.int16),
        np.zeros((2, 2), dtype=np.int8),
        np.zeros(0, dtype=np.int8),
        np.zeros(65_537, dtype=np.int8),
    ],
)
def test_a_row_of_another_kind_should_be_refused(values):
    with pytest.raises(ValueError, match="a row must"):
        packed(values)


def test_every_field_should_count():
    base = Product(1, LOW, 2, spread(40, 3), 5)
    others = [
        Product(2, LOW, 2, spread(40, 3), 5),
        Product(1, HIGH, 2, spread(40, 3), 5),
        Product(1, LOW, 3, spread(40, 3), 5),
        Product(1, LOW, 2, spread(40, 5), 5),
        Product(1, LOW, 2, spread(41, 3), 5),
        Product(1, LOW, 2, spread(40, 3), -5),
    ]
    assert len({one.value for one in [base, *others]}) == 7
