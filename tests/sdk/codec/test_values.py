"""Packed values: one set of arrays, one byte string; every other byte string is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.codec.values import DTYPES, pack_values, packed_bytes, unpack_values
from ostraka.errors import BadFrame, NonFiniteActivation

LIMITS = {"u8": (0, 255), "i64": (-(2**63), 2**63 - 1), "bool": (0, 1)}


@st.composite
def arrays(draw):
    kind = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(st.lists(st.integers(1, 4), max_size=4))
    count = int(np.prod(shape))
    if kind == "f32":
        numbers = draw(
            st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=count, max_size=count)
        )
    else:
        numbers = draw(st.lists(st.integers(*LIMITS[kind]), min_size=count, max_size=count))
    return np.array(numbers, DTYPES[kind]).reshape(shape)


VALUES = st.dictionaries(st.text("abcXYZ_09é", min_size=1, max_size=9), arrays(), min_size=1, max_size=5)


@given(VALUES)
def test_what_was_packed_is_unpacked_bit_for_bit(values):
    packed = pack_values(values)
    found = unpack_values(packed, len(packed))
    assert list(found) == sorted(values, key=str.encode)
    for name, array in values.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert len(packed) % 4 == 0
    assert len(packed) == packed_bytes(
        (n, k, a.shape) for n, a in values.items() for k, d in DTYPES.items() if a.dtype == d
    )


@given(VALUES)
def test_the_order_of_a_dictionary_leaves_no_mark(values):
    assert pack_values(dict(reversed(values.items()))) == pack_values(values)


@settings(max_examples=300)
@given(VALUES, st.data())
def test_a_changed_byte_is_refused_or_means_something_else(values, data):
    packed = bytearray(pack_values(values))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack_values(bytes(packed), len(packed))
    except BadFrame:
        return
    assert pack_values(found) == bytes(packed)


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_canonical(data):
    try:
        found = unpack_values(data, 80)
    except BadFrame:
        return
    assert pack_values(found) == data


def test_the_bytes_are_those_of_the_protocol():
    packed = pack_values({"b": np.array([True]), "a": np.array([[1, 2]], np.int64)})
    a = b"\x01\x01\x02a" + b"\x01\0\0\0\x02\0\0\0" + b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"
    assert packed == b"\x02\0\0\0" + a + b"\x01\x03\x01b" + b"\x01\0\0\0" + b"\x01\0\0\0"


def test_a_view_is_packed_as_its_numbers_stand():
    wide = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert pack_values({"x": wide.T}) == pack_values({"x": np.ascontiguousarray(wide.T)})


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_no_nan_and_no_infinity_passes(number):
    with pytest.raises(NonFiniteActivation, match="value x"):
        pack_values({"x": np.array([number], np.float32)})
    packed = bytearray(pack_values({"x": np.array([1], np.float32)}))
    packed[-4:] = np.float32(number).tobytes()
    with pytest.raises(BadFrame, match="NaN or infinity"):
        unpack_values(bytes(packed), len(packed))


@pytest.mark.parametrize(
    "array", [np.array([1.0]), np.array(["x"]), np.zeros((0,), np.float32), np.zeros((1,) * 9, np.uint8)]
)
def test_what_has_no_form_is_refused(array):
    with pytest.raises(ValueError, match="cannot be packed"):
        pack_values({"x": array})


def test_the_length_is_looked_at_first():
    with pytest.raises(BadFrame, match="at most 3 are read"):
        unpack_values(bytes(4), 3)


def test_a_huge_shape_allocates_nothing():
    huge = b"\x01\0\0\0" + b"\x01\x02\x03x" + b"\xff\xff\xff\xff" * 3
    with pytest.raises(BadFrame, match="cut off"):
        unpack_values(huge, 1000)
