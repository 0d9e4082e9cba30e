"""What a model is, as data: the manifest. Pure; knows nothing of files, chains or tensors."""

from ostraka.model.chunks import PossessionProof, chunk_root, prove_possession, shard_root
from ostraka.model.manifest import (
    MANIFEST_VERSION,
    MAX_MANIFEST_BYTES,
    BlockInfo,
    BlockKind,
    LlamaConfig,
    Manifest,
    Tokenizer,
    dump_manifest,
    load_manifest,
    manifest_digest,
)

__all__ = [
    "MANIFEST_VERSION",
    "MAX_MANIFEST_BYTES",
    "BlockInfo",
    "BlockKind",
    "LlamaConfig",
    "Manifest",
    "PossessionProof",
    "Tokenizer",
    "chunk_root",
    "dump_manifest",
    "load_manifest",
    "manifest_digest",
    "prove_possession",
    "shard_root",
]
