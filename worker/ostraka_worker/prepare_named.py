"""Models by name: packaged language models, GGUF files, packaged networks, and modules that a publisher has prepared.

::

    from ostraka_worker.prepare_named import prepare_module
    from ostraka_worker.prepare_graph import Network

    prepare_module("my-network", Network(module, {"x": example}, outputs={"y": ("", "")}))

After that `ostraka model publish my-network --key … --price …` puts it on the market.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from ostraka.cli.devnet import cache_folder
from ostraka.errors import OstrakaError, UnknownModel
from ostraka.model import MAX_MANIFEST_BYTES, AnyManifest, GraphManifest, load_manifest
from ostraka.store import LocalStore, cid_of_digest
from ostraka_worker.convert import Weights
from ostraka_worker.prepare import PACKAGED, Progress, prepare_once
from ostraka_worker.prepare_graph import Network, prepare_network

NETWORK_CONVERTER = 2  # raise it when preparing a network gives other bytes, so that kept results are not used


class _Kept(msgspec.Struct):
    converter: int
    manifest: str


def prepare_named(
    model: str,
    folder: Path,
    *,
    context: int | None = None,
    progress: Progress | None = None,
    weights: Weights = "int8",
) -> tuple[AnyManifest, LocalStore]:
    """The manifest and the store under `folder` that holds its files; made now unless an earlier run left them there.

    Raises `UnknownModel` listing the names there are; for networks, `UnsupportedModel` and what reading their packages raises.
    """
    from ostraka_worker.zoo.packaged import NETWORKS

    if model in PACKAGED or model.endswith(".gguf"):
        return prepare_once(model, folder, context=context, progress=progress, weights=weights)
    kept = _kept(model, folder)
    if kept is not None:
        return kept, LocalStore(folder / "store")
    if model not in NETWORKS:
        there = ", ".join(sorted({*PACKAGED, *NETWORKS}))
        raise UnknownModel(
            f"model: {model!r} is neither a GGUF file, nor prepared by `prepare_module`, nor one of {there}"
        )
    return prepare_module(model, NETWORKS[model](), folder, progress), LocalStore(folder / "store")


def prepare_module(
    name: str, network: Network, folder: Path | None = None, progress: Progress | None = None
) -> GraphManifest:
    """Prepares a module of your own and remembers it by name, for `ostraka model publish NAME`. Raises what `prepare_network` raises."""
    folder = folder or cache_folder()
    manifest = prepare_network(name, network, LocalStore(folder / "store"), progress)
    note = _note(name, folder)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_bytes(msgspec.json.encode(_Kept(NETWORK_CONVERTER, manifest.digest.hex())))
    return manifest


def files_of(manifest: AnyManifest) -> list[str]:
    """CIDs of all files of a model but the manifest's own."""
    cids = [block.cid for block in manifest.blocks]
    if not isinstance(manifest, GraphManifest):
        return [*cids, manifest.tokenizer.cid]
    return cids if manifest.text is None else [*cids, manifest.text.tokenizer.cid]


def _note(name: str, folder: Path) -> Path:
    return folder / "models" / f"network-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _kept(name: str, folder: Path) -> AnyManifest | None:
    store = LocalStore(folder / "store")
    try:
        kept = msgspec.json.decode(_note(name, folder).read_bytes(), type=_Kept)
        if kept.converter != NETWORK_CONVERTER:
            return None
        cid = cid_of_digest(bytes.fromhex(kept.manifest))
        manifest = load_manifest(store.get(cid, max_bytes=MAX_MANIFEST_BYTES))
        return manifest if all(store.has(file) for file in files_of(manifest)) else None
    except (OSError, ValueError, msgspec.MsgspecError, OstrakaError):
        return None
