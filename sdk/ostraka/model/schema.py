"""What goes into a network and what comes out: names, dtypes, shapes, ranges. Part of the manifest, checked on both sides."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ostraka.codec.values import DTYPES, DtypeName, packed_bytes
from ostraka.errors import BadManifest, UsageError

Array = npt.NDArray[Any]

MAX_TENSORS, MAX_RANK, MAX_DIMENSION = 16, 6, 1 << 20
MAX_PACKED_BYTES = 3_000_000  # of a job's inputs, and of its outputs: in base64 they must fit a job input

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SYMBOL = re.compile(r"[a-z][a-z0-9_]{0,31}")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?")


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor. `shape`: numbers, and names of dimensions that differ from job to job; one name is one size.

    `low` and `high` are decimals as strings, both allowed; empty where nothing is promised.
    """

    name: str
    dtype: DtypeName
    shape: tuple[int | str, ...]
    low: str = ""
    high: str = ""

    def largest(self, dims: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with every name at its cap."""
        return tuple(dims[dim] if isinstance(dim, str) else dim for dim in self.shape)


def check_specs(field: str, specs: Sequence[TensorSpec], dims: Mapping[str, int]) -> None:
    """Raises `BadManifest` naming the tensor for anything that no values could fit, or that is too large."""
    if not 1 <= len(specs) <= MAX_TENSORS:
        raise BadManifest(f"{field}: {len(specs)} tensors; a model has 1 to {MAX_TENSORS}")
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise BadManifest(f"{field}: a name stands twice among {', '.join(names)}")
    for spec in specs:
        where = f"{field}.{spec.name[:80]}"
        if not NAME.fullmatch(spec.name):
            raise BadManifest(f"{where}: is not a word of letters, digits and _")
        if len(spec.shape) > MAX_RANK:
            raise BadManifest(f"{where}.shape: rank {len(spec.shape)}; the limit is {MAX_RANK}")
        for dim in spec.shape:
            if isinstance(dim, str) and dim not in dims:
                raise BadManifest(f"{where}.shape: {dim[:80]!r} has no cap in dims")
            if isinstance(dim, int) and not 1 <= dim <= MAX_DIMENSION:
                raise BadManifest(f"{where}.shape: {dim} must be 1 to {MAX_DIMENSION}")
        for end, value in (("low", spec.low), ("high", spec.high)):
            if value and not _DECIMAL.fullmatch(value):
                raise BadManifest(f"{where}.{end}: {value[:80]!r} is no decimal; write it as a string such as '-1.5'")
        if spec.low and spec.high and Decimal(spec.low) > Decimal(spec.high):
            raise BadManifest(f"{where}: low {spec.low} is above high {spec.high}")
    size = largest_bytes(specs, dims)
    if size > MAX_PACKED_BYTES:
        raise BadManifest(
            f"{field}: {size} bytes at the largest sizes; the limit is {MAX_PACKED_BYTES}; lower dims or make tensors smaller"
        )


def check_dims(dims: Mapping[str, int], used: Sequence[TensorSpec]) -> None:
    shown = {dim for spec in used for dim in spec.shape if isinstance(dim, str)}
    for name, cap in dims.items():
        if not _SYMBOL.fullmatch(name) or name not in shown:
            raise BadManifest(f"dims.{name[:80]}: no input has a dimension of this name")
        if not 1 <= cap <= MAX_DIMENSION:
            raise BadManifest(f"dims.{name}: {cap} must be 1 to {MAX_DIMENSION}")


def largest_bytes(specs: Sequence[TensorSpec], dims: Mapping[str, int]) -> int:
    """Most bytes that the packed values can have."""
    return packed_bytes((spec.name, spec.dtype, spec.largest(dims)) for spec in specs)


def check_values(
    what: str, specs: Sequence[TensorSpec], values: Mapping[str, Array], dims: Mapping[str, int]
) -> dict[str, int]:
    """The sizes that the varying dimensions have here. Raises `UsageError` naming tensor, value and what the manifest allows."""
    if values.keys() != {spec.name for spec in specs}:
        wanted = ", ".join(spec.name for spec in specs)
        raise UsageError(f"{what}: {', '.join(sorted(values)) or 'none'} given; the model's are {wanted}")
    sizes: dict[str, int] = {}
    for spec in specs:
        array = values[spec.name]
        if array.dtype != DTYPES[spec.dtype] or array.ndim != len(spec.shape):
            raise UsageError(
                f"{what} {spec.name}: {array.dtype} {list(array.shape)}; want {spec.dtype} {list(spec.shape)}"
            )
        for dim, size in zip(spec.shape, array.shape, strict=True):
            if isinstance(dim, int) and dim != size:
                raise UsageError(f"{what} {spec.name}: shape {list(array.shape)}; want {list(spec.shape)}")
            if isinstance(dim, str) and (not 1 <= size <= dims[dim] or sizes.setdefault(dim, size) != size):
                raise UsageError(f"{what} {spec.name}: {dim} is {size}; use 1 to {dims[dim]}, the same in all tensors")
        _check_range(what, spec, array)
    return sizes


def _check_range(what: str, spec: TensorSpec, array: Array) -> None:
    low, high = array.min().item(), array.max().item()
    if array.dtype == np.float32 and not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"{what} {spec.name}: NaN or infinity")
    # Python compares whole numbers and floats with decimals exactly.
    if (spec.low and low < Decimal(spec.low)) or (spec.high and high > Decimal(spec.high)):
        raise UsageError(f"{what} {spec.name}: {low} to {high}; want {spec.low or 'any'} to {spec.high or 'any'}")
