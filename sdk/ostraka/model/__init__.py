"""What a model is, as data: the manifest. Pure; knows nothing of files, chains or tensors."""

from ostraka.model.blocks import BlockInfo, BlockKind, FileRef, ManifestBase
from ostraka.model.chunks import PossessionProof, chunk_root, prove_possession, shard_root
from ostraka.model.graph_manifest import GraphArch, GraphManifest, ImageInput, TextInput
from ostraka.model.manifest import (
    MANIFEST_VERSION,
    MAX_MANIFEST_BYTES,
    AnyManifest,
    LlamaConfig,
    Manifest,
    Tokenizer,
    dump_manifest,
    language_model,
    load_manifest,
    manifest_digest,
    network,
)
from ostraka.model.schema import TensorSpec, check_values

__all__ = [
    "MANIFEST_VERSION",
    "MAX_MANIFEST_BYTES",
    "AnyManifest",
    "BlockInfo",
    "BlockKind",
    "FileRef",
    "GraphArch",
    "GraphManifest",
    "ImageInput",
    "LlamaConfig",
    "Manifest",
    "ManifestBase",
    "PossessionProof",
    "TensorSpec",
    "TextInput",
    "Tokenizer",
    "check_values",
    "chunk_root",
    "dump_manifest",
    "language_model",
    "load_manifest",
    "manifest_digest",
    "network",
    "prove_possession",
    "shard_root",
]
