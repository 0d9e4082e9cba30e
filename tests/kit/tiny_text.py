"""The tiny model's tokenizer file."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from ostraka_worker.convert import convert_gguf
from ostraka_worker.zoo.tiny import write_gguf


@functools.cache
def tiny_tokenizer() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path)
        return convert_gguf(path, lambda index, kind, file: None).tokenizer.tokenizer_json
