"""What is committed for the programs is of the sources that are committed. `make artifacts`, which `make test` runs, compiles
them and compares every byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).parents[3]
ARTIFACTS = ROOT / "sdk" / "ostraka" / "chain" / "artifacts"


def test_the_artifacts_are_of_these_sources():
    folder, found = ROOT / "contracts", hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.sol"))
    for name in (name for name in names if not name.startswith("mocks/")):
        found.update(f"{name}\0{(folder / name).read_text()}\0".encode())
    assert json.loads((ARTIFACTS / "compiler.json").read_text())["sources"] == found.hexdigest(), "run `make contracts`"


def test_each_contract_has_an_artifact_and_none_is_left_over():
    kept = {path.stem for path in ARTIFACTS.glob("*.json")} - {"compiler"}
    assert kept == {path.stem for path in (ROOT / "contracts").glob("*.sol")}, "run `make contracts`"
