"""docs/contracts/deadlines.md names every comparison with the clock, and for each the tests to both sides of its second."""

import re
from pathlib import Path

import pytest
from tests.kit.pages import ROOT, contracts, names_in

PAGE = ROOT / "docs/contracts/deadlines.md"
ROW = re.compile(
    r"^\| `([^`]+\.sol)` \| ([^|]+) \| `([^`|]+)` \| `([^`]+)` \| (?:`([^`]+)`|the same) \|$", re.MULTILINE
)
COMPARED = re.compile(r"block\.timestamp (?:<=|>=|<|>) |(?:<=|>=|<|>) block\.timestamp\b")


def rows() -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Source, what, comparison, tests."""
    found = ROW.findall(PAGE.read_text())
    assert len(found) > 50
    return [(source, what, comparison, (one, other or one)) for source, what, comparison, one, other in found]


def compared(path: Path) -> list[str]:
    """Lines that compare the clock with something."""
    return [line.strip() for line in path.read_text().splitlines() if COMPARED.search(line)]


def test_each_line_of_its_table_should_be_a_row():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(lines) == len(rows())


def test_each_comparison_of_the_sources_should_have_a_row():
    listed = [(source, comparison) for source, _, comparison, _ in rows()]
    sources = [path for path in contracts() if "mocks" not in path.parts]
    missing = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in sources
        for line in compared(path)
        if not any(path == ROOT / "contracts" / source and comparison in line for source, comparison in listed)
    ]
    assert not missing
    assert sum(len(compared(path)) for path in sources) > 30


@pytest.mark.parametrize(("source", "what", "comparison", "tests"), rows(), ids=lambda value: str(value)[:40])
class TestGivenARow:
    def test_it_should_name_a_comparison_that_is_there(self, source, what, comparison, tests):
        assert comparison in (ROOT / "contracts" / source).read_text()

    def test_it_should_name_tests_that_are_there(self, source, what, comparison, tests):
        for test in tests:
            file, name = test.split("::", 1)
            assert f"::{name}" in names_in(ROOT / "tests/contracts" / file), test
