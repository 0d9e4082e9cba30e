"""The dynamic 8-bit map, and the choice between it and the linear one."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ostraka.codec import choose_format, relative_error, row_format
from ostraka.codec.choose import choose
from ostraka.codec.dynamic_map import CODES, MIDPOINTS, exact_codes, nearest


def test_the_table_is_pinned():
    # Another table is another protocol.
    assert hashlib.sha256(CODES.astype("<f4").tobytes()).hexdigest()[:16] == "3c48c622c92eaee1"
    assert hashlib.sha256(MIDPOINTS.astype("<f4").tobytes()).hexdigest()[:16] == "a16ed18781f8a4c1"


def test_the_table_is_the_one_of_the_paper():
    # As the authors' library builds it, in fp64: midpoints of linspace(0.1, 1, 2^i + 1), times 10^(i - 6).
    theirs = [0.0, 1.0]
    for decade in range(7):
        edges = np.linspace(0.1, 1, 2**decade + 1)
        for code in (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6):
            theirs += [code, -code]
    assert len(CODES) == 256
    np.testing.assert_allclose(CODES / 127, sorted(theirs), rtol=1e-6)


@pytest.mark.parametrize("table", [CODES, MIDPOINTS])
def test_every_entry_is_the_nearest_float32(table):
    codes = exact_codes()
    exact = codes if len(table) == 256 else [(a + b) / 2 for a, b in pairwise(codes)]
    for entry, wanted in zip(table, exact, strict=True):
        error = abs(Fraction(float(entry)) - wanted)
        for other in (np.nextafter(entry, np.float32(np.inf)), np.nextafter(entry, np.float32(-np.inf))):
            assert error < abs(Fraction(float(other)) - wanted)


@given(hnp.arrays(np.float32, st.integers(0, 300), elements=st.floats(width=32, min_value=-127, max_value=127)))
@settings(max_examples=100, deadline=None)
def test_nearest_is_a_binary_search(x):
    assert nearest(x).tolist() == MIDPOINTS.searchsorted(x).tolist()


def test_nearest_on_around_and_between_all_midpoints():
    x = np.concatenate(
        [CODES, MIDPOINTS, np.nextafter(MIDPOINTS, np.float32(200)), np.nextafter(MIDPOINTS, np.float32(-200))]
    )
    assert nearest(x).tolist() == MIDPOINTS.searchsorted(x).tolist()
    assert CODES[nearest(CODES)].tolist() == CODES.tolist()


def test_the_choice_follows_the_error():
    random = np.random.Generator(np.random.PCG64(1))
    normal = random.standard_normal((50, 576)).astype(np.float32)
    assert choose_format(normal) == "int8-b64-t4"
    # More large values in a block than the four that are carried apart.
    spiky = normal * np.where(random.random(normal.shape) < 0.1, 60, 0.1).astype(np.float32)
    assert choose_format(spiky) == "dynamic8-b64-t4"
    linear, dynamic = (row_format(n, 576).round_trip(spiky)[1] for n in ("int8-b64-t4", "dynamic8-b64-t4"))
    assert relative_error(spiky, dynamic) < relative_error(spiky, linear)


def test_the_first_of_equals_wins():
    zeros = np.zeros((3, 64), np.float32)
    assert choose_format(zeros) == "int8-b64-t4"
    assert choose(zeros, {"b": zeros, "a": zeros}) == "b"
    assert relative_error(zeros, zeros) == 0
