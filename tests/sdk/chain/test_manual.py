"""The contracts' manual is whole: each item of an interface says what it is, each contract has its page."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs/contracts"
INTERFACES = sorted((ROOT / "contracts/interfaces").glob("I*.sol"))
CONTRACTS = sorted((ROOT / "contracts").glob("*.sol"))
GAS = json.loads((ROOT / "contracts/gas-snapshot.json").read_text())

ITEM = re.compile(r"\s*(error|event|function) (\w+)")
FIGURE = re.compile(r"([\d,]+)( k)? gas[\w ]* \(`(\w+)`\)")


def bare(source: str) -> list[str]:
    """`event Name` for each error, event and function without a `@notice` in the comment that ends on the line before it."""
    found, comment = [], ""
    for line in source.splitlines():
        if line.lstrip().startswith("///"):
            comment += line
            continue
        if (item := ITEM.match(line)) and not re.search(r"@notice \S", comment):
            found.append(f"{item[1]} {item[2]}")
        comment = ""
    return found


def test_an_item_without_a_word_should_be_found():
    source = """
    /// @notice Said.
    error Said(uint256 amount);
    error Unsaid();
    /// @param amount what it was
    event HalfSaid(uint256 amount);

    /// @notice Said, in two
    /// lines.
    function said() external;

    /// @notice Of something else.

    function unsaid() external;
    """
    assert bare(source) == ["error Unsaid", "event HalfSaid", "function unsaid"]


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_each_item_of_an_interface_should_say_what_it_is(path):
    source = path.read_text()
    assert ITEM.search(source)
    assert bare(source) == []


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_each_contract_should_have_its_page(path):
    page = (PAGES / f"{path.stem}.md").read_text()
    for part in ("effects | requirements |", "**Parameters", "**Trust.**"):
        assert part in page, f"{path.stem}.md has no {part!r}"
    assert f"({path.stem}.md)" in (PAGES / "reference.md").read_text()


def test_invariants_should_be_numbered_in_order_and_name_tests_that_are_there():
    text = (PAGES / "invariants.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    for name in set(re.findall(r"`(?:tests/[\w/]+/)?(test_\w+\.py)`", text)):
        assert list((ROOT / "tests").rglob(name)), name


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_gas_on_a_page_should_be_that_of_the_snapshot(page):
    """Where a page names one of the snapshot's keys it reads `12,345 gas (`key`)`, or in thousands `12 k gas (`key`)`."""
    text = page.read_text()
    figures = FIGURE.findall(text)
    for amount, thousands, key in figures:
        given = int(amount.replace(",", ""))
        assert given == (round(GAS[key] / 1000) if thousands else GAS[key]), key
    named = [word for word in re.findall(r"`(\w+)`", text) if word in GAS and word not in AMBIGUOUS]
    assert sorted(named) == sorted(key for _, _, key in figures if key not in AMBIGUOUS)


AMBIGUOUS = {"commit", "reveal", "conflict"}  # functions of this name are told about on their own
