"""The manifest of a network that is no language model: a graph in parts, what goes in, what comes out, and how to read it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ostraka.codec.values import MAX_VALUES
from ostraka.errors import BadManifest
from ostraka.model.blocks import FileRef, ManifestBase, check_block, check_file, check_name, check_shard_root
from ostraka.model.limits import check_limit
from ostraka.model.schema import NAME, TensorSpec, check_dims, check_specs, largest_bytes

GraphTask = Literal["embed", "classify-text", "classify-image", "detect", "tensors"]
TEXT_TASKS, IMAGE_TASKS = ("embed", "classify-text"), ("classify-image", "detect")
MAX_BLOCKS = 256
MAX_BORDER_BYTES = 48 << 20  # of the values that cross one border: a message holds them
MAX_LABELS, MAX_LABEL_BYTES = 4096, 128


class GraphArch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`dims`: the most that each varying dimension may be. `borders`: names of the values that cross each border, 0 … B, ascending."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dims: dict[str, int]
    borders: tuple[tuple[str, ...], ...]
    family: Literal["graph"] = "graph"


class TextInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to tensors: ids of each text in a row of `tokens`, padded with `pad`; `mask` is true where a token stands.

    The width is that of the longest text; what is longer than the dimension's cap is cut by the tokenizer.
    """

    tokenizer: FileRef
    tokens: str = "tokens"
    mask: str = "mask"
    pad: int = 0


class ImageInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture to a tensor: uint8 [1, height, width, 3 or 1]. `fit`: stretch it, or cut the largest square from its middle."""

    input: str = "image"
    fit: Literal["stretch", "crop"] = "stretch"


class GraphManifest(ManifestBase, frozen=True, forbid_unknown_fields=True):
    """A network, as published. Every block is a part of its graph; a job is one inference, hence one position."""

    arch: GraphArch
    task: GraphTask
    text: TextInput | None = None
    image: ImageInput | None = None
    labels: tuple[str, ...] = ()  # of classes, in order; empty where there are none
    profile: Literal["exact"] = "exact"
    version: int = 1

    def most_bytes_at(self, border: int) -> int:
        """Most bytes of the packed values at a border."""
        return self.blocks[border - 1].out_bytes if border else largest_bytes(self.arch.inputs, self.arch.dims)


def check_graph_manifest(manifest: GraphManifest, version: int) -> None:
    """Raises `BadManifest` naming field, value and remedy."""
    arch = manifest.arch
    if manifest.version != version:
        raise BadManifest(f"version: {manifest.version} is unknown; this program reads version {version}")
    check_name(manifest.name)
    check_dims(arch.dims, arch.inputs)
    check_specs("arch.inputs", arch.inputs, arch.dims)
    check_specs("arch.outputs", arch.outputs, arch.dims)
    if not 1 <= len(manifest.blocks) <= MAX_BLOCKS:
        raise BadManifest(f"blocks: {len(manifest.blocks)}; a graph has 1 to {MAX_BLOCKS}")
    _check_borders(manifest)
    for index, block in enumerate(manifest.blocks):
        field = f"blocks[{index}]"
        check_block(field, block, index, "part")
        check_limit(f"{field}.out_bytes", block.out_bytes, MAX_BORDER_BYTES)
        if block.wire:
            raise BadManifest(f"{field}.wire: {block.wire!r}; values of a graph travel as they are; leave it empty")
    last = largest_bytes(arch.outputs, arch.dims)
    if manifest.blocks[-1].out_bytes != last:
        raise BadManifest(
            f"blocks[{len(manifest.blocks) - 1}].out_bytes: {manifest.blocks[-1].out_bytes} should be {last}, what arch.outputs take"
        )
    check_shard_root(manifest.blocks, manifest.shard_root)
    _check_readers(manifest)


def _check_borders(manifest: GraphManifest) -> None:
    arch = manifest.arch
    if len(arch.borders) != len(manifest.blocks) + 1:
        raise BadManifest(
            f"arch.borders: {len(arch.borders)}; {len(manifest.blocks)} blocks have {len(manifest.blocks) + 1}"
        )
    for index, names in enumerate(arch.borders):
        if not 1 <= len(names) <= MAX_VALUES or list(names) != sorted(set(names)):
            raise BadManifest(f"arch.borders[{index}]: want 1 to {MAX_VALUES} names in ascending order, each once")
        if wrong := next((name for name in names if not NAME.fullmatch(name)), None):
            raise BadManifest(f"arch.borders[{index}]: {wrong[:80]!r} is not a word of letters, digits and _")
    for border, name, specs in ((0, "inputs", arch.inputs), (-1, "outputs", arch.outputs)):
        if arch.borders[border] != tuple(sorted(spec.name for spec in specs)):
            raise BadManifest(
                f"arch.borders[{border % len(arch.borders)}]: should be the names of arch.{name}, in ascending order"
            )


def _check_readers(manifest: GraphManifest) -> None:
    inputs = {spec.name: spec for spec in manifest.arch.inputs}
    if (manifest.text is not None) != (manifest.task in TEXT_TASKS):
        raise BadManifest(
            f"text: the tasks {', '.join(TEXT_TASKS)} need it, others have none; the task is {manifest.task}"
        )
    if (manifest.image is not None) != (manifest.task in IMAGE_TASKS):
        raise BadManifest(
            f"image: the tasks {', '.join(IMAGE_TASKS)} need it, others have none; the task is {manifest.task}"
        )
    if manifest.text is not None:
        text = manifest.text
        check_file("text.tokenizer", text.tokenizer.cid, text.tokenizer.sha256, text.tokenizer.bytes)
        for field, name, dtype in (("tokens", text.tokens, "i64"), ("mask", text.mask, "bool")):
            spec = inputs.get(name)
            if spec is None or spec.dtype != dtype or len(spec.shape) != 2:
                raise BadManifest(
                    f"text.{field}: {name[:80]!r} is no input of {dtype} with two dimensions (texts, tokens)"
                )
        if inputs[text.tokens].shape != inputs[text.mask].shape or len(inputs) != 2:
            raise BadManifest("text: tokens and mask must be the only inputs, and of one shape")
        if not 0 <= text.pad < 1 << 31:
            raise BadManifest(f"text.pad: {text.pad} is no token")
    if manifest.image is not None:
        spec = inputs.get(manifest.image.input)
        fits = spec is not None and spec.dtype == "u8" and len(spec.shape) == 4
        if not fits or spec is None or spec.shape[0] != 1 or spec.shape[3] not in (1, 3) or len(inputs) != 1:
            raise BadManifest(
                f"image.input: {manifest.image.input[:80]!r} must be the only input, u8 [1, height, width, 3 or 1]"
            )
        if not all(isinstance(dim, int) for dim in spec.shape):
            raise BadManifest(f"image.input: {list(spec.shape)}; pictures have one size")
    if len(manifest.labels) > MAX_LABELS:
        raise BadManifest(f"labels: {len(manifest.labels)}; the limit is {MAX_LABELS}")
    if long := next((x for x in manifest.labels if not 1 <= len(x.encode()) <= MAX_LABEL_BYTES), None):
        raise BadManifest(f"labels: {long[:80]!r} must have 1 to {MAX_LABEL_BYTES} bytes")
    _check_outputs(manifest)


def _check_outputs(manifest: GraphManifest) -> None:
    """What a client reads by name must be there."""
    outputs = {spec.name: spec for spec in manifest.arch.outputs}
    ranks = {"embed": {"embedding": 2}, "classify-text": {"scores": 2}, "classify-image": {"scores": 2}}
    ranks["detect"] = {"score": 3, "label": 3, "box": 4}
    for name, rank in ranks.get(manifest.task, {}).items():
        spec = outputs.get(name)
        if spec is None or spec.dtype != "f32" or len(spec.shape) != rank:
            raise BadManifest(f"arch.outputs: the task {manifest.task} needs {name!r}, f32 with {rank} dimensions")
    if manifest.task.startswith("classify") and outputs["scores"].shape[1] != len(manifest.labels):
        raise BadManifest(f"labels: {len(manifest.labels)}; scores has {outputs['scores'].shape[1]} classes")
