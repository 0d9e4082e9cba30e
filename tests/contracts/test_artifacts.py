"""What is committed for the programs (sdk/ostraka/chain/artifacts) is what these sources compile to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "sdk" / "ostraka" / "chain" / "artifacts"
NAMES = sorted(path.stem for path in (ROOT / "contracts").glob("*.sol"))
REMEDY = "run `make contracts`"
MOST_BYTES = 24_576  # EIP-170


def test_each_contract_has_an_artifact_and_no_artifact_is_left_over() -> None:
    assert sorted(path.stem for path in ARTIFACTS.glob("*.json") if path.stem != "compiler") == NAMES, REMEDY


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_should_be_what_the_sources_compile_to(house, name: str) -> None:
    built, kept = house.project._build.get(name), json.loads((ARTIFACTS / f"{name}.json").read_text())
    assert kept["abi"] == built["abi"], REMEDY
    code, runtime = built["deployedBytecode"].removeprefix("0x"), kept["runtime"].removeprefix("0x")
    # Brownie's compilation ends in the hash of its metadata; ours has none, so that it does not hang on where the sources lie.
    assert code.startswith(runtime), REMEDY
    assert len(code) - len(runtime) < 2 * 64
    assert len(runtime) // 2 <= MOST_BYTES
