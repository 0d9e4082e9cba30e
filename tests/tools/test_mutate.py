"""What counts as a mutant killed: a test that failed, and nothing else."""

from __future__ import annotations

import pytest
from tools.contracts.mutate import (
    BROKEN,
    FAILED,
    KILLED,
    NO_CODE,
    OUT_OF_TIME,
    PASSED,
    SECOND,
    STILLBORN,
    SURVIVED,
    TESTS,
    TIMED_OUT,
    Mutant,
    fate,
    judged,
    meets,
    report_of,
)

HEAD = "Brownie v1.22.0 - Python development framework for Ethereum\n\n"
ONE_FAILED = (
    HEAD
    + """..F
=================================== FAILURES ===================================
E       AssertionError: assert 3 == 4
=========================== short test summary info ============================
FAILED tests/contracts/test_vault.py::TestGivenStake::test_it_should_count
!!!!!!!!!!!!!!!!!!!!!!!!!! stopping after 1 failures !!!!!!!!!!!!!!!!!!!!!!!!!!!
1 failed, 2 passed in 7.31s
"""
)


class TestGivenALog:
    @pytest.mark.parametrize(
        ("status", "log", "end"),
        [
            (0, HEAD + "..... [100%]\n5 passed in 12.07s\n", PASSED),
            (0, HEAD + "..... [100%]\n=== 5 passed, 2 warnings in 75.30s (0:01:15) ===\n", PASSED),
            (1, ONE_FAILED, FAILED),
            (1, HEAD + "E\nE   assert 1 == 0\n1 error in 3.02s\n", FAILED),
            (1, HEAD + "2 passed, 1 error in 3.02s\n", FAILED),
            (1, HEAD + "===== 1 failed, 3 passed, 1 warning in 91.02s (0:01:31) =====\n", FAILED),
            (OUT_OF_TIME, HEAD + "..", TIMED_OUT),
            (OUT_OF_TIME, ONE_FAILED, TIMED_OUT),
            (1, HEAD + "CompilerError: solc returned the following errors", NO_CODE),
            (1, "contracts: anvil did not start:\nError: Address already in use\n", BROKEN),
            (1, "contracts: ganache does not listen after a minute:\n", BROKEN),
            (2, "contracts: npm packages are missing; run `npm ci`\n", BROKEN),
            (137, HEAD + "...", BROKEN),
            (1, ONE_FAILED.replace("AssertionError: assert 3 == 4", "requests.exceptions.ConnectionError: ('Aborted')"), BROKEN),
            (1, ONE_FAILED.replace("AssertionError: assert 3 == 4", "requests.exceptions.ReadTimeout: read timed out"), BROKEN),
            (0, HEAD + "no tests ran in 0.02s\n", BROKEN),
            (5, HEAD + "no tests ran in 0.02s\n", BROKEN),
            (4, "ERROR: file or directory not found: tests/contracts/test_vault.py\n", BROKEN),
            (1, HEAD + "  File \"conftest.py\"\nImportError: cannot import name\n", BROKEN),
        ],
    )  # fmt: skip
    def test_it_should_say_what_the_tests_said(self, status, log, end):
        assert judged(status, log) == end


class TestGivenAMutant:
    @pytest.mark.parametrize(
        ("ends", "becomes", "runs"),
        [
            ([FAILED], KILLED, 1),
            ([PASSED, FAILED], KILLED, 2),
            ([PASSED, PASSED, PASSED], SURVIVED, 3),
            ([NO_CODE], STILLBORN, 1),
            ([TIMED_OUT, FAILED], KILLED, 2),
            ([BROKEN, PASSED, PASSED, FAILED], KILLED, 4),
            ([TIMED_OUT, TIMED_OUT], TIMED_OUT, 2),
            ([BROKEN, BROKEN], BROKEN, 2),
            ([PASSED, BROKEN, TIMED_OUT], TIMED_OUT, 3),
        ],
    )
    def test_what_says_nothing_should_be_asked_once_more(self, ends, becomes, runs):
        said = []

        def run() -> str:
            said.append(ends[len(said)])
            return said[-1]

        assert fate([run] * 3) == becomes
        assert len(said) == runs

    def test_its_tests_should_be_those_that_know_its_file_and_those_of_whole_jobs(self):
        named = meets([mutant("a", "Treasury.sol"), mutant("b", "libraries/TraceLib.sol")])
        assert named == [
            f"tests/contracts/test_{name}.py"
            for name in sorted({*TESTS["Treasury"], *TESTS["TraceLib"], *SECOND})
        ]  # fmt: skip


def mutant(name: str, file: str = "StakeVault.sol") -> Mutant:
    return Mutant(file, 1, "check", name, "")


class TestGivenAReport:
    def test_it_should_count_what_was_decided_and_keep_the_rest_apart(self):
        results = [(mutant("a"), KILLED), (mutant("b"), SURVIVED), (mutant("c"), STILLBORN)]
        results += [(mutant("d"), TIMED_OUT), (mutant("e"), BROKEN), (mutant("f"), KILLED), (mutant("g"), KILLED)]
        report = report_of(results, 80, {mutant("b").name: "it is the same"})
        assert (report["asked"], report["mutants"], report["killed_share"]) == (80, 4, 0.75)
        assert report["by_kind"] == {"check": 4}
        assert [(one["before"], one["why"]) for one in report["survivors"]] == [("b", "it is the same")]
        assert [(one["before"], one["end"]) for one in report["undecided"]] == [("d", TIMED_OUT), ("e", BROKEN)]

    def test_trying_again_should_let_no_survivor_go_but_by_a_test_that_fails(self):
        first = [*((mutant(str(i)), KILLED) for i in range(6)), (mutant("a"), SURVIVED), (mutant("b"), SURVIVED)]
        last = report_of([*first, (mutant("c"), BROKEN), (mutant("d"), BROKEN), (mutant("e"), TIMED_OUT)], 10, {})
        assert (last["mutants"], last["killed_share"]) == (8, 0.75)
        again = [(mutant("a"), KILLED), (mutant("b"), TIMED_OUT), (mutant("c"), KILLED), (mutant("d"), SURVIVED)]
        report = report_of([*again, (mutant("e"), BROKEN)], last["asked"], {}, last)
        assert (report["asked"], report["mutants"], report["killed_share"]) == (10, 10, 0.8)
        assert [one["before"] for one in report["survivors"]] == ["d", "b"]
        assert [one["before"] for one in report["undecided"]] == ["e"]
        assert report["by_kind"] == {"check": 10}
