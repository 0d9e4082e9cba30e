"""int4 weights: half the bytes, unpacked to int8 before any kernel sees them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.worker.engine.test_stage_refusals import revouched
from tests.worker.engine.tiny import manifest_of, tiny_model

from ostraka.codec import dump_tensors, load_tensors
from ostraka.errors import BadManifest, NonFiniteActivation, ShapeMismatch
from ostraka_worker.convert import convert_gguf
from ostraka_worker.convert.quantize4 import quantize_groups
from ostraka_worker.engine import Stage, generate_on
from ostraka_worker.engine.weights import take_matrix
from ostraka_worker.kernels import Fp32Kernel, ReferenceKernel, pick_kernel
from ostraka_worker.zoo.tiny import write_gguf


@pytest.fixture(scope="module")
def int4():
    files: dict[int, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path)
        converted = convert_gguf(path, lambda i, kind, file: files.__setitem__(i, file), weights="int4")
    return manifest_of(converted), files


def by_hand(packed, steps, zeros, columns: int) -> list[list[int]]:
    """The module's text, one weight at a time."""
    rows = []
    for own, step, zero in zip(packed.tolist(), steps.tolist(), zeros.tolist(), strict=True):
        values = [half for byte in own for half in (byte & 15, byte >> 4)][:columns]
        rows.append([zero[i // 32] + ((value * step[i // 32] + 8) >> 4) for i, value in enumerate(values)])
    return rows


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.sampled_from([1, 5, 32, 33, 64, 70])),
        elements=st.floats(width=32, min_value=-1000, max_value=1000),
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_packed_is_unpacked_and_within_its_range(weight):
    packed, steps, zeros, scale = quantize_groups(weight)
    columns = weight.shape[1]
    tensors = {"w.weight4": packed, "w.step": steps, "w.zero": zeros, "w.scale": scale}
    found, _ = take_matrix(tensors, "w", *weight.shape)
    assert found.dtype == np.int8
    assert found.tolist() == by_hand(packed, steps, zeros, columns)
    # No group is further off than half a step, a step's and two integers' roundings.
    spread = weight.max(axis=1) - weight.min(axis=1)
    error = np.sqrt(((found * scale[:, None] - weight) ** 2).mean(axis=1))
    assert (error <= spread / 30 * np.sqrt(32) + scale * 2).all()


def test_sixteen_even_levels_come_through_as_well_as_in_int8():
    random = np.random.Generator(np.random.PCG64(2))
    step, low = random.random((40, 6, 1)) * 0.02 + 0.01, -random.random((40, 6, 1)) * 0.2
    values = random.integers(0, 16, (40, 6, 32))
    values[:, :, :2] = 0, 15
    weight = (values * step + low).reshape(40, 192).astype(np.float32)
    packed, steps, zeros, scale = quantize_groups(weight)
    found = np.array(by_hand(packed, steps, zeros, 192))
    assert np.abs(found - weight / scale[:, None]).max() < 1.6


def test_rows_do_not_depend_on_how_many_there_are():
    weight = np.random.Generator(np.random.PCG64(0)).standard_normal((2100, 40)).astype(np.float32)
    whole, alone = quantize_groups(weight), quantize_groups(weight[2050:])
    for a, b in zip(whole, alone, strict=True):
        assert (a[2050:] == b).all()


def test_every_int4_matrix_is_near_the_weights_and_half_as_large(int4):
    manifest, files = int4
    small, full = load_tensors(files[1]), load_tensors(tiny_model()[1][1])
    assert manifest.blocks[1].work == tiny_model()[0].blocks[1].work
    for name in ("qkv", "o", "gate_up", "down"):
        rows, columns = full[f"{name}.weight"].shape
        weight, scale = take_matrix(small, name, rows, columns)
        assert small[f"{name}.weight4"].nbytes + 2 * small[f"{name}.step"].nbytes < 0.58 * full[f"{name}.weight"].nbytes
        assert (scale == full[f"{name}.scale"]).all()
        true = full[f"{name}.weight"].astype(float)
        assert np.linalg.norm(weight - true) / np.linalg.norm(true) < 0.12


def test_memory_is_counted_as_it_will_be_used_not_as_it_is_stored(int4):
    manifest, files = int4
    whole, _ = tiny_model()
    for block, same in zip(manifest.blocks, whole.blocks, strict=True):
        unpacked = 0
        for name, array in load_tensors(files[block.index]).items():
            unpacked += (
                array.nbytes if name.endswith(".weight") else 2 * array.nbytes if name.endswith(".weight4") else 0
            )
        assert block.held_bytes >= unpacked
        if block.kind == "layer":
            assert block.held_bytes == block.work == same.work
        else:
            assert block.held_bytes == block.bytes == same.held_bytes


def test_every_kernel_and_cut_gives_the_same(int4):
    manifest, files = int4
    prompt = [1, *range(3, 22)]
    whole = generate_on([Stage(manifest, 0, 5, files.__getitem__, ReferenceKernel())], prompt, 8, [])
    for kernel in (Fp32Kernel(), pick_kernel()[0]):
        two = [Stage(manifest, a, b, files.__getitem__, kernel) for a, b in ((0, 2), (2, 5))]
        tokens, digests = generate_on(two, prompt, 8, [])
        assert tokens == whole[0]
        assert (digests == whole[1]).all()


@pytest.mark.parametrize(
    ("tensor", "value", "says"),
    [
        ("qkv.step", 255, r"block 1: qkv.weight4 stands for -\d+ to \d\d\d"),
        ("qkv.zero", 127, r"block 1: qkv.weight4 stands for"),
        ("o.zero", -128, r"block 1: o.weight4 stands for -128"),
        ("down.scale", np.nan, r"block 1: down.scale holds nan"),
    ],
)
def test_values_outside_their_range_are_refused_at_load(int4, tensor, value, says):
    manifest, files = int4
    tensors = {name: array.copy() for name, array in load_tensors(files[1]).items()}
    tensors[tensor].reshape(-1)[3] = value
    files = {**files, 1: dump_tensors(tensors)}
    with pytest.raises(BadManifest, match=says):
        Stage(revouched(manifest, files), 0, 5, files.__getitem__, Fp32Kernel())


def test_wrong_shapes_are_refused_at_load(int4):
    manifest, files = int4
    tensors = dict(load_tensors(files[1]))
    tensors["qkv.step"] = tensors["qkv.step"][:, :-1]
    files = {**files, 1: dump_tensors(tensors)}
    with pytest.raises(ShapeMismatch, match=r"block 1: qkv.step is uint8"):
        Stage(revouched(manifest, files), 0, 5, files.__getitem__, Fp32Kernel())


def test_a_damaged_source_is_refused():
    with pytest.raises(NonFiniteActivation):
        quantize_groups(np.array([[1, np.nan]], np.float32))
