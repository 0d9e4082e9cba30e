"""Block files: our own writer gives the same bytes everywhere, and reading survives a stranger's file."""

from __future__ import annotations

import contextlib
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.codec import MAX_HEADER_BYTES, dump_tensors, load_tensors
from ostraka.errors import BadFrame

TENSORS = {
    "weight": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
    "a.scale": np.array([1.5, -2.25, 0], np.float32),
    "empty": np.zeros((0, 7), np.float16),
    "n": np.array(7, np.int64),
}


def with_header(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_what_was_written_is_read():
    read = load_tensors(dump_tensors(TENSORS))
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert (read[name] == tensor).all()
        assert not read[name].flags.writeable


def test_the_bytes_do_not_depend_on_the_order_or_the_memory_layout():
    other = {name: TENSORS[name].copy(order="F") for name in reversed(TENSORS)}
    assert dump_tensors(other) == dump_tensors(TENSORS)
    assert (
        hashlib.sha256(dump_tensors(TENSORS)).hexdigest()
        == "9528a2c1e13428a06878d83bf531739347bb6579280d7ed7d6f90b52be86b9c0"
    )


def test_the_safetensors_package_reads_our_files_and_we_read_its():
    package = pytest.importorskip("safetensors.numpy", reason="the safetensors package is not installed")
    theirs = package.load(dump_tensors(TENSORS))
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in theirs.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in TENSORS.items()
    }
    ours = load_tensors(package.save(TENSORS, metadata={"by": "someone"}))
    assert all((ours[n] == TENSORS[n]).all() for n in TENSORS)


def test_a_dtype_without_a_code_is_refused():
    with pytest.raises(ValueError, match="complex"):
        dump_tensors({"z": np.zeros(2, np.complex64)})


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"1234567",
        (100).to_bytes(8, "little") + b"{}",
        (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b" " * (MAX_HEADER_BYTES + 1),
        (2).to_bytes(8, "little") + b"\xff\xff",
        with_header([1, 2]),
        with_header({"w": 5}),
        with_header({"w": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        with_header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(8)),
        with_header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(8)),
        with_header({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, bytes(8)),
        with_header({"w": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, bytes(8)),
        with_header({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(8)),
        with_header({"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 2**66]}}, bytes(8)),
        with_header({"w": {"shape": [1], "data_offsets": [0, 4]}}, bytes(8)),
        b"\x10\x27\0\0\0\0\0\0" + b"[" * 10_000,
    ],
)
def test_malformed_files_are_refused_with_a_typed_error(file):
    with pytest.raises(BadFrame, match="block file"):
        load_tensors(file)


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_refused_or_read_but_never_crashes(at, value):
    file = bytearray(dump_tensors(TENSORS))
    file[at % len(file)] = value
    with contextlib.suppress(BadFrame):
        load_tensors(bytes(file))
