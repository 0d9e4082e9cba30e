"""The wire row formats: fixed bytes a row, the same on every machine, and what a stranger may not send."""

from __future__ import annotations

import bisect
import hashlib
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ostraka.codec import ROW_FORMATS, row_format
from ostraka.codec.dynamic_map import exact_codes
from ostraka.errors import BadFrame, NonFiniteActivation, ShapeMismatch, UnsupportedModel

NAMES = sorted(ROW_FORMATS)
BLOCKWISE = ["dynamic8-b64-t4", "int8-b64-t4"]
FINITE = st.floats(width=32, min_value=-(2.0**20), max_value=2.0**20, allow_subnormal=True)


def rows_of(width: int, count: int, seed: int = 0) -> np.ndarray:
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((count, width)).astype(np.float32)
    x[:, 3] *= 300  # the massive channel of trained transformers
    return x


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", BLOCKWISE)
def test_a_row_of_576_or_more_takes_at_most_1_06_bytes_a_value(name):
    assert row_format(name, 576).row_bytes == 610
    for width in (576, 600, 1024, 4096, 8191):
        assert row_format(name, width).row_bytes / width <= 1.06


def test_the_bytes_are_pinned():
    # A change of these digests is a change of the protocol: every trace would differ.
    x = (np.arange(2 * 576, dtype=np.int64) * 7919 % 1009 - 504).reshape(2, 576).astype(np.float32) / np.float32(37)
    found = {name: hashlib.sha256(row_format(name, 576).encode(x)).hexdigest()[:16] for name in NAMES}
    assert found == {
        "dynamic8-b64-t4": "c429c649052791f2",
        "int16-row": "0b6602a9f5878e4a",
        "int8-b64-t4": "fe4c26ad07498634",
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [5, 64, 100, 128, 576, 2048])
def test_decoding_gives_back_nearly_what_was_encoded(name, width):
    x = rows_of(width, 9)
    decoded = row_format(name, width).decode(row_format(name, width).encode(x))
    step = 1 / 10_000 if name == "int16-row" else 1 / 100
    assert np.abs(decoded - x).max() <= np.abs(x).max() * step
    assert np.abs(decoded[:, 3] - x[:, 3]).max() <= np.abs(x).max() / 32767


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_round_trip_is_decode_of_encode_bit_for_bit(name, data):
    width = data.draw(st.sampled_from([4, 7, 64, 66, 130]))
    x = data.draw(hnp.arrays(np.float32, (data.draw(st.integers(1, 4)), width), elements=FINITE))
    form = row_format(name, width)
    rows, values = form.round_trip(x)
    assert same_bits(rows, form.encode(x))
    assert same_bits(values, form.decode(rows))


def nearest_code(quotient: np.float32) -> int:
    """By distances in whole fractions; the lower code where two are as near as float32 can tell."""
    codes = exact_codes()
    at = bisect.bisect_left(codes, Fraction(float(quotient)))
    if at in (0, len(codes)):
        return min(at, 255)
    return at if quotient > np.float32(float((codes[at - 1] + codes[at]) / 2)) else at - 1


CODE_OF = {"int8-b64-t4": lambda quotient: int(np.rint(quotient)), "dynamic8-b64-t4": nearest_code}


def written_out(row: np.ndarray, name: str) -> bytes:
    """A blockwise format as its text says, one number at a time."""
    code_of = CODE_OF[name]
    f32 = np.float32
    order = sorted(range(len(row)), key=lambda channel: (-abs(row[channel]), channel))[:4]
    scale = max(abs(row[order[0]]), f32(2.0**-100)) / f32(32767)
    out = [struct.pack("<f", scale), struct.pack("<4H", *order)]
    top = [int(np.rint(row[channel] / scale)) for channel in order]
    out.append(struct.pack("<4b", *(value >> 8 for value in top)))
    rest = row.copy()
    rest[order] = 0
    scales, values = [], []
    for at in range(0, len(rest), 64):
        block = rest[at : at + 64]
        exact = max(abs(v) for v in block) / f32(127)
        half = np.float16(exact)
        if f32(half) < exact:
            half = np.nextafter(half, np.float16(np.inf))
        scales.append(half)
        values += [code_of(v / max(f32(half), f32(2.0**-24))) & 255 for v in block]
    for channel, value in zip(order, top, strict=True):
        values[channel] = value & 255
    out += [np.array(scales, "<f2").tobytes(), bytes(values)]
    return b"".join(out)


@pytest.mark.parametrize("name", BLOCKWISE)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_vectorized_encoder_writes_what_the_text_says(name, data):
    width = data.draw(st.sampled_from([4, 7, 64, 66, 130]))
    x = data.draw(hnp.arrays(np.float32, (2, width), elements=FINITE))
    assert row_format(name, width).encode(x).tobytes() == written_out(x[0], name) + written_out(x[1], name)


def test_a_top_channels_int16_lies_in_two_bytes():
    x = np.zeros((1, 128), np.float32)
    x[0, [3, 70, 5, 90]] = [32767, -32767, -1, 256]  # so the scale is 1
    row = row_format("int8-b64-t4", 128).encode(x)[0]
    assert row[:4].view("<f4")[0] == 1
    assert row[4:12].view("<u2").tolist() == [3, 70, 90, 5]
    high, low = row[12:16].view(np.int8), row[20:][[3, 70, 90, 5]]
    assert (high.astype(int) * 256 + low).tolist() == [32767, -32767, 256, -1]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_neighbours(name):
    x = rows_of(576, 17)
    form = row_format(name, 576)
    alone = np.concatenate([form.encode(x[i : i + 1]) for i in range(len(x))])
    assert same_bits(form.encode(x), alone)


@pytest.mark.parametrize("name", NAMES)
def test_encoding_what_was_decoded_changes_values_no_further_than_one_step(name):
    form = row_format(name, 576)
    once = form.decode(form.encode(rows_of(576, 4)))
    twice = form.decode(form.encode(once))
    assert np.abs(once - twice).max() <= np.abs(once).max() / 100


def test_among_equals_the_lowest_channels_are_the_four_largest():
    x = np.zeros((1, 128), np.float32)
    x[0, [90, 20, 70, 50, 60]] = [2, -2, 2, 2, 2]
    channels = row_format("int8-b64-t4", 128).encode(x)[0, 4:12].view("<u2")
    assert channels.tolist() == [20, 50, 60, 70]


@pytest.mark.parametrize("name", BLOCKWISE)
def test_zeros_denormals_and_the_largest_values_survive(name):
    form = row_format(name, 128)
    x = np.zeros((4, 128), np.float32)
    x[1] = 2.0**-149
    x[2, :4] = 2.0**126
    x[3] = -127 * 65504
    decoded = form.decode(form.encode(x))
    assert not decoded[0].any()
    assert not decoded[1].any()
    assert np.allclose(decoded[2, :4], x[2, :4], rtol=1e-4)
    assert np.allclose(decoded[3], x[3], rtol=1e-4 if name == "int8-b64-t4" else 1e-2)  # the map has 1, but no -1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**127])
def test_values_that_are_not_finite_are_refused(name, bad):
    x = rows_of(576, 3)
    x[1, 200] = bad
    with pytest.raises(NonFiniteActivation):
        row_format(name, 576).encode(x)


def test_more_than_four_values_beyond_a_half_precision_scale_are_refused():
    x = rows_of(128, 1)
    x[0, :4] = 1e30
    row_format("int8-b64-t4", 128).encode(x)
    x[0, 5] = 1e30
    with pytest.raises(NonFiniteActivation, match="more than 4 channels"):
        row_format("int8-b64-t4", 128).encode(x)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_and_dtypes_are_refused(name):
    form = row_format(name, 64)
    for values in (np.zeros((2, 63), np.float32), np.zeros(64, np.float32), np.zeros((2, 64))):
        with pytest.raises(ShapeMismatch, match="want float32"):
            form.encode(values)
    for rows in (np.zeros((2, form.row_bytes - 1), np.uint8), np.zeros((2, form.row_bytes), np.int8)):
        with pytest.raises(ShapeMismatch, match="want uint8"):
            form.decode(rows)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_are_fine(name):
    form = row_format(name, 64)
    rows, values = form.round_trip(np.zeros((0, 64), np.float32))
    assert rows.shape == (0, form.row_bytes)
    assert form.decode(rows).shape == values.shape == (0, 64)


@pytest.mark.parametrize("name", BLOCKWISE)
def test_a_strangers_row_is_checked(name):
    form = row_format(name, 128)
    good = form.encode(rows_of(128, 1))

    def tampered(at: int, value: np.generic) -> np.ndarray:
        rows = good.copy()
        raw = np.frombuffer(value.tobytes(), np.uint8)
        rows[0, at : at + len(raw)] = raw
        return rows

    for at, value in [
        (4, np.uint16(128)),  # a channel outside the row
        (4, np.uint16(good[0, 6:8].view("<u2")[0])),  # a channel twice
        (0, np.float32(np.nan)),
        (0, np.float32(-1)),
        (0, np.float32(2e34)),
        (16, np.float16(np.inf)),
        (16, np.float16(-1)),
        (18, np.float16(np.nan)),
    ]:
        with pytest.raises(BadFrame):
            form.decode(tampered(at, value))


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, 2e34])
def test_a_strangers_wide_row_is_checked(scale):
    form = row_format("int16-row", 16)
    rows = form.encode(rows_of(16, 1))
    rows[0, :4] = np.frombuffer(np.float32(scale).tobytes(), np.uint8)
    with pytest.raises(BadFrame, match="scale"):
        form.decode(rows)


@pytest.mark.parametrize("name", BLOCKWISE)
@given(raw=st.binary(min_size=148, max_size=148))
@settings(max_examples=200, deadline=None)
def test_any_bytes_decode_to_finite_values_or_a_typed_error(name, raw):
    form = row_format(name, 128)
    try:
        values = form.decode(np.frombuffer(raw, np.uint8).reshape(1, -1))
    except BadFrame:
        return
    assert np.isfinite(values).all()


def test_unknown_formats_and_impossible_widths_are_refused():
    with pytest.raises(UnsupportedModel, match="int8-b64-t4"):
        row_format("bf16", 64)
    with pytest.raises(UnsupportedModel):
        row_format("int8-b64-t4", 3)
    with pytest.raises(UnsupportedModel):
        row_format("int8-b64-t4", 65537)
    with pytest.raises(UnsupportedModel):
        row_format("int16-row", 0)
