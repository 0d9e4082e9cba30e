"""Slither sees every contract, and a reason in contracts/slither.toml stands for one place."""

from __future__ import annotations

import tomllib

import pytest
from tools.contracts.analyse import REASONS, ROOT, name_of, sources, too_wide

CONTRACT = {"type": "contract", "name": "Vault"}
FUNCTION = {"signature": "pay(address,uint256[])", "parent": CONTRACT}


def test_all_sources_should_be_analysed_but_those_for_tests():
    found = set(sources())
    assert {"StakeVault.sol", "consumer/ConsumerBase.sol", "examples/SentimentOracle.sol"} <= found
    everything = {path.relative_to(ROOT / "contracts").as_posix() for path in (ROOT / "contracts").rglob("*.sol")}
    assert everything - found == {path for path in everything if path.startswith("mocks/")}


@pytest.mark.parametrize(
    ("element", "name"),
    [
        ({"name": "pay", "type_specific_fields": FUNCTION}, "c:Vault.pay(address,uint256[])"),
        (
            {"name": "sum", "type_specific_fields": {"parent": {"type": "function", "name": "pay", "type_specific_fields": FUNCTION}}},
            "c:Vault.pay(address,uint256[]).sum",
        ),
        ({"name": "total", "type_specific_fields": {"parent": CONTRACT}}, "c:Vault.total"),
        ({"name": "Vault"}, "c:Vault"),
    ],
)  # fmt: skip
def test_a_finding_should_be_named_by_its_place(element, name):
    assert name_of({"check": "c", "elements": [element]}) == name


def test_a_reason_should_stand_for_one_place():
    narrow = ["c:Vault.total", "weak-prng:Vault.pay(*)", "c:Vault.pay(*).sum"]
    wide = ["c:*", "c:Vault.*", "*:Vault.pay(*)", "c:Vault*.pay(*)", "c:Vault.pay*", "c:Vault.pay(*).*", "c:Vault"]
    assert too_wide([*narrow, *wide]) == wide
    assert too_wide(tomllib.loads(REASONS.read_text())["reasons"]) == []
