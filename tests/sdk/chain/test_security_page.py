"""docs/contracts/security.md names lines and tests: they are there."""

import re

import pytest
from tests.kit.pages import ROOT, contracts, names_in

PAGE = ROOT / "docs/contracts/security.md"
RULES = 22
UNCHECKED = {"SumTree.sol"}  # its search: all weights together stay below 2^61

HEADING = re.compile(r"^## (\d+)\. (?=\S)", re.MULTILINE)
LINE = re.compile(r"^- `(contracts/[^`]+\.sol)`: `([^`]+)`$", re.MULTILINE)
TEST = re.compile(r"^- `(tests/[^`:]+\.py)((?:::\w+){1,2})`$", re.MULTILINE)
BULLET = re.compile(r"^- ", re.MULTILINE)


def rules() -> dict[int, str]:
    """Each rule's text by its number, in the page's order."""
    _, *parts = HEADING.split(PAGE.read_text())
    return dict(zip(map(int, parts[::2]), parts[1::2], strict=True))


def test_the_rules_are_numbered_from_1_to_22():
    assert list(rules()) == list(range(1, RULES + 1))


@pytest.mark.parametrize("number", range(1, RULES + 1))
class TestGivenARule:
    def test_it_should_name_lines_that_are_there(self, number):
        lines = LINE.findall(rules()[number])
        assert lines, "names no line"
        missing = [
            f"{path}: {fragment}"
            for path, fragment in lines
            if not (ROOT / path).is_file() or fragment not in (ROOT / path).read_text()
        ]
        assert not missing

    def test_it_should_name_tests_that_are_there(self, number):
        tests = TEST.findall(rules()[number])
        assert tests, "names no test"
        missing = [
            path + name for path, name in tests if not (ROOT / path).is_file() or name not in names_in(ROOT / path)
        ]
        assert not missing

    def test_each_of_its_bullets_should_be_a_line_or_a_test(self, number):
        text = rules()[number]
        assert len(BULLET.findall(text)) == len(LINE.findall(text)) + len(TEST.findall(text))


def test_no_contract_asks_who_began_the_transaction():
    assert [path.name for path in contracts() if "tx.origin" in path.read_text()] == []


def test_every_contract_is_compiled_by_one_version_and_checks_its_sums():
    for path in contracts():
        source = path.read_text()
        assert "\npragma solidity 0.8.28;\n" in source, path.name
        assert path.name in UNCHECKED or not re.search(r"\bunchecked\b", source), path.name
