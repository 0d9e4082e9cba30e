"""Breaks the contracts on purpose, one small change at a time, and sees whether the tests notice: `make mutate`.

    python tools/contracts/mutate.py [--count 80] [--jobs 1] [--seed 1] [--only StakeVault] [--trust]
    python tools/contracts/mutate.py --again       only survivors and undecided of the last report, after a test was added

Writes contracts/mutation-report.json: `asked`, how many were asked for; `mutants`, how many were decided; `killed_share` of those;
`survivors`; `undecided`, which count for neither. A mutant is killed by a test that fails, and by nothing else: where the tests took too
long, or the chain or the tools broke, they are run once more, and if that says nothing either the mutant is undecided. One that the tests
of its own contract let live meets those of whole jobs and disputes before it counts as a survivor. Why one may live is in
contracts/survivors.toml.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "contracts" / "mutation-report.json"
REASONS = ROOT / "contracts" / "survivors.toml"
TIMEOUT_S = 1_200
BASELINE_TIMEOUT_S = 7_200  # all tests one after the other
SKIPPED = ("interfaces/", "mocks/", "examples/", "OstrakaToken.sol", "Timelock.sol")

# Tests that know a file best; they run first.
TESTS = {
    "StakeVault": ("vault", "nodes", "disputes", "params"),
    "NodeRegistry": ("nodes", "params"),
    "ModelRegistry": ("models", "params"),
    "ShardRegistry": ("shards", "possession", "models", "params"),
    "Possession": ("possession",),
    "SpanBook": ("shards", "possession"),
    "FutureBlock": ("possession",),
    "Params": ("params",),
    "Entries": ("params",),
    "Treasury": ("treasury",),
    "JobMarket": ("submit", "reveal", "settlement", "params"),
    "JobSettler": ("finalize", "settlement"),
    "SignedSettlement": ("settlement",),
    "Commits": ("commit",),
    "JobBook": ("finalize", "commit", "reveal"),
    "JobWordLib": ("finalize", "commit", "reveal", "params"),
    "SignatureLib": ("commit", "nodes", "settlement"),
    "JobViews": ("finalize", "reveal", "court", "inbox"),
    "Ledger": ("finalize", "submit", "reentrancy"),
    "Payouts": ("finalize", "disputes"),
    "Verdicts": ("disputes", "court", "params"),
    "DisputeCourt": ("court", "disputes"),
    "TraceProofs": ("disputes", "court"),
    "PaymentVouchers": ("vouchers",),
    "EpochSettler": ("epochs", "epoch_orders"),
    "EpochBook": ("epochs", "epoch_orders"),
    "EpochOrders": ("epoch_orders", "epochs"),
    "EpochPayouts": ("epochs", "epoch_orders"),
    "Adjudicator": ("adjudicator",),
    "Cases": ("adjudicator",),
    "Leaves": ("adjudicator",),
    "Committee": ("adjudicator",),
    "Sortition": ("sortition",),
    "SumTree": ("sortition",),
    "FrozenWeight": ("sortition", "orchestrators"),
    "Orchestrators": ("orchestrators",),
    "DotLib": ("adjudicator",),
    "BlockRandomness": ("sortition",),
    "ResultInbox": ("inbox",),
    "ConsumerBase": ("inbox",),
    "AssignmentLib": ("hashes", "commit"),
    "PayoutLib": ("hashes",),
    "TraceLib": ("hashes", "disputes", "inbox"),
}
# Whoever lives through those meets these: jobs, disputes and actors of every kind.
SECOND = ("finalize", "court", "disputes", "random_actors")

# What may go wrong in a line: (kind, what to look for, what to put in its place).
OPERATORS = (
    ("comparison", re.compile(r"(?<![<>=!&|-])<(?![<=])"), "<="),
    ("comparison", re.compile(r"<="), "<"),
    ("comparison", re.compile(r"(?<![=>-])>(?![>=])"), ">="),
    ("comparison", re.compile(r">="), ">"),
    ("comparison", re.compile(r"=="), "!="),
    ("comparison", re.compile(r"!="), "=="),
    ("logic", re.compile(r"&&"), "||"),
    ("logic", re.compile(r"\|\|"), "&&"),
    ("amount", re.compile(r" \+ "), " - "),
    ("amount", re.compile(r" - "), " + "),
    ("amount", re.compile(r" \* "), " + "),
    ("amount", re.compile(r" \+= "), " = "),
    ("amount", re.compile(r" -= "), " = "),
    ("amount", re.compile(r"\bamount\b(?=[),])"), "0"),
    ("check", re.compile(r"^(\s*)if \(.*\) revert .*;$"), r"\1"),
    ("check", re.compile(r" (?:onlyModule|onlyCourt|onlyOwner|whenOpen)\b"), ""),
    ("effect", re.compile(r"^(\s*)(?:_credit|_refund|_close|_unlock|_move|delete|vault\.|token\.)[^=]*;$"), r"\1"),
)


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    kind: str
    before: str
    after: str

    @property
    def name(self) -> str:
        return f"{self.file}: {self.before} → {self.after or 'nothing'}"


def candidates(file: Path) -> Iterator[Mutant]:
    name = str(file.relative_to(ROOT / "contracts"))
    for number, text in enumerate(file.read_text().splitlines(), 1):
        code = text.split("//")[0]
        if (
            code.lstrip().startswith(("for ", "*", "import", "pragma", "using", "event", "error", "emit"))
            or not code.strip()
        ):
            continue  # loop heads: mutants that only walk further than there is something
        for kind, pattern, replacement in OPERATORS:
            if kind == "amount" and code.lstrip().startswith("function"):
                continue
            for match in pattern.finditer(code):
                changed = code[: match.start()] + match.expand(replacement) + code[match.end() :]
                yield Mutant(name, number, kind, code.strip(), changed.strip())


def choose(count: int, seed: int, only: str) -> list[Mutant]:
    """The same each time: files by turns, the kinds of each by turns."""
    chance = random.Random(seed)
    files = [f for f in sorted((ROOT / "contracts").rglob("*.sol")) if only in f.stem]
    files = [f for f in files if not str(f.relative_to(ROOT / "contracts")).startswith(SKIPPED)]
    piles: list[list[Mutant]] = []
    for file in files:
        by_kind: dict[str, list[Mutant]] = {}
        for mutant in candidates(file):
            by_kind.setdefault(mutant.kind, []).append(mutant)
        for pile in by_kind.values():
            chance.shuffle(pile)
        turns = [m for group in _turns(list(by_kind.values())) for m in group]
        if turns:
            piles.append(turns)
    chance.shuffle(piles)
    chosen = [m for group in _turns(piles) for m in group]
    return chosen[: count * 2]  # some will not compile


def left_of(report: dict[str, Any]) -> list[Mutant]:
    """Survivors and undecided of an earlier report, where they stand today. Raises `LookupError` for one that is not there any more."""
    found = []
    for one in [*report["survivors"], *report.get("undecided", [])]:
        kept = Mutant(**{field.name: one[field.name] for field in fields(Mutant)})
        there = [m for m in candidates(ROOT / "contracts" / kept.file) if m.name == kept.name]
        if not there:
            raise LookupError(f"{kept.name}: the contracts have changed since the last report; try all mutants")
        found.append(there[0])
    return found


def _turns(piles: list[list[Mutant]]) -> Iterator[list[Mutant]]:
    for turn in range(max((len(pile) for pile in piles), default=0)):
        yield [pile[turn] for pile in piles if turn < len(pile)]


# What a run of tests says, by its exit status and its log.
PASSED, FAILED, NO_CODE, TIMED_OUT, BROKEN = "passed", "failed", "does not compile", "timed out", "broken"
OUT_OF_TIME = 124
SUMMARY = re.compile(r"^=*\s*(?:\d+ \w+, )*?(\d+) (passed|failed|errors?)\b.* in [\d.]+s\b", re.MULTILINE)
# Lines that begin with E are pytest's, about what was raised: these are about the way to the chain, not about a contract.
NO_CHAIN = re.compile(
    r"^E\s+.*\b(ConnectionError|ConnectionRefusedError|ConnectionResetError|RemoteDisconnected|ReadTimeout|MaxRetryError"
    r"|TransactionNotFound|RPCProcessError|RPCConnectionError)\b",
    re.MULTILINE,
)


def judged(status: int, log: str) -> str:
    """What came of a run of tests. Only tests that were run and failed make it FAILED, and only tests that were run make it PASSED."""
    if status == OUT_OF_TIME:
        return TIMED_OUT
    if "CompilerError" in log:
        return NO_CODE
    if NO_CHAIN.search(log):
        return BROKEN
    ends = {word.rstrip("s") for line in SUMMARY.finditer(log) for word in re.findall(r"\d+ (\w+)", line[0])}
    if status == 0:
        return PASSED if "passed" in ends else BROKEN
    return FAILED if ends & {"failed", "error"} else BROKEN


# What becomes of a mutant.
KILLED, SURVIVED, STILLBORN = "killed", "survived", "stillborn"


def fate(runs: Iterable[Callable[[], str]]) -> str:
    """Of a mutant, by runs of tests, made one after the other until one does not pass: KILLED, STILLBORN, TIMED_OUT or BROKEN;
    SURVIVED where all pass. A run that says nothing is made once more."""
    for run in runs:
        end = run()
        if end in (TIMED_OUT, BROKEN):
            end = run()
        if end == FAILED:
            return KILLED
        if end == NO_CODE:
            return STILLBORN
        if end != PASSED:
            return end
    return SURVIVED


def meets(mutants: Iterable[Mutant]) -> list[str]:
    """All that they may meet."""
    names = {name for mutant in mutants for name in TESTS.get(Path(mutant.file).stem, ())} | set(SECOND)
    return [f"tests/contracts/test_{name}.py" for name in sorted(names)]


class Bench:
    """A copy of the contracts and their tests, in which mutants are tried."""

    def __init__(self, number: int) -> None:
        self.folder = ROOT / "build" / "mutants" / f"bench{number}"  # Brownie wants a letter first
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("contracts", "tests/contracts", "tools/contracts"):
            shutil.copytree(ROOT / part, self.folder / part, symlinks=True)
        shutil.copy(ROOT / "brownie-config.yaml", self.folder)
        for part in ("node_modules", ".venv-contracts"):
            (self.folder / part).symlink_to(ROOT / part)
        built = ROOT / "build" / "brownie"
        if built.exists():
            shutil.copytree(built, self.folder / "build" / "brownie")

    def try_(self, mutant: Mutant) -> str:
        file = self.folder / "contracts" / mutant.file
        right = file.read_text()
        lines = right.splitlines()
        old = lines[mutant.line - 1]
        lines[mutant.line - 1] = old[: len(old) - len(old.lstrip())] + mutant.after
        file.write_text("\n".join(lines) + "\n")
        try:
            return fate(self.runs(mutant)) if self.compiles(mutant) else STILLBORN
        finally:
            file.write_text(right)

    def runs(self, mutant: Mutant) -> Iterator[Callable[[], str]]:
        known = [f"tests/contracts/test_{name}.py" for name in TESTS.get(Path(mutant.file).stem, ())]
        if known:
            yield lambda: self.test(known)
        # Brownie may have taken a contract for unchanged whose library was: what seems to live meets them once more.
        shutil.rmtree(self.folder / "build" / "brownie", ignore_errors=True)
        if known:
            yield lambda: self.test(known)
        yield lambda: self.test([f"tests/contracts/test_{name}.py" for name in SECOND])

    def compiles(self, mutant: Mutant) -> bool:
        """Whether it does: without code made from it, which takes most of a compiler's time."""
        command = ["tools/contracts/solc", "--combined-json", "abi", f"contracts/{mutant.file}"]
        remap = "@openzeppelin/contracts=node_modules/@openzeppelin/contracts"
        return self.run(["node", *command, remap]) == 0

    def test(self, tests: list[str], timeout_s: float = TIMEOUT_S) -> str:
        """What a run of these tests says, until the first that fails."""
        chain = ["--anvil"] if list((ROOT / "node_modules/@foundry-rs").glob("anvil-*/bin/anvil")) else []
        status = self.run(["bash", "tools/contracts/test.sh", *chain, *tests, "-x", "-q"], timeout_s)
        return judged(status, self.log.read_text(errors="replace"))

    @property
    def log(self) -> Path:
        return self.folder / "last.log"

    def run(self, command: list[str], timeout_s: float = TIMEOUT_S) -> int:
        """Its exit status; OUT_OF_TIME where it took longer."""
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return OUT_OF_TIME
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait()


def report_of(
    results: list[tuple[Mutant, str]], asked: int, reasons: dict[str, str], last: dict[str, Any] | None = None
) -> dict[str, Any]:
    """`last`: the report whose survivors and undecided these are; else they are all there is."""
    decided = [(mutant, end) for mutant, end in results if end in (KILLED, SURVIVED)]
    survivors = [mutant for mutant, end in decided if end == SURVIVED]
    undecided = [(mutant, end) for mutant, end in results if end in (TIMED_OUT, BROKEN)]
    kinds = Counter(mutant.kind for mutant, _ in decided)
    mutants = len(decided)
    if last:
        # Of those tried again, only who was undecided is new among the decided; a survivor that is undecided now stays one.
        before = {(one["file"], one["before"], one["after"]) for one in last["survivors"]}
        kept = [mutant for mutant, _ in undecided if (mutant.file, mutant.before, mutant.after) in before]
        survivors += kept
        undecided = [(mutant, end) for mutant, end in undecided if mutant not in kept]
        new = [mutant for mutant, _ in decided if (mutant.file, mutant.before, mutant.after) not in before]
        mutants = last["mutants"] + len(new)
        kinds = Counter(last["by_kind"]) + Counter(mutant.kind for mutant in new)
    return {
        "asked": asked,
        "mutants": mutants,
        "killed_share": round(1 - len(survivors) / max(1, mutants), 4),
        "by_kind": dict(kinds),
        "survivors": [{**asdict(m), "why": reasons.get(m.name, "not explained yet")} for m in survivors],
        "undecided": [{**asdict(m), "end": end} for m, end in undecided],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=80)
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", default="", help="files whose name has this in it; writes no report")
    arguments.add_argument(
        "--trust", action="store_true", help="the tests have just passed: begin with the first mutant"
    )
    arguments.add_argument("--again", action="store_true", help="only the survivors of the last report")
    given = arguments.parse_args()
    reasons: dict[str, str] = tomllib.loads(REASONS.read_text())["reasons"] if REASONS.exists() else {}

    last = json.loads(REPORT.read_text()) if given.again else None
    try:
        mutants = left_of(last) if last else choose(given.count, given.seed, given.only)
    except LookupError as error:
        sys.exit(f"mutate: {error}")

    benches: SimpleQueue[Bench] = SimpleQueue()
    for number in range(given.jobs):
        bench = Bench(number)
        if not (number or given.trust) and (end := bench.test(meets(mutants), BASELINE_TIMEOUT_S)) != PASSED:
            sys.exit(f"mutate: without any mutant the tests {end}; see {bench.log}")
        benches.put(bench)
    results: list[tuple[Mutant, str]] = []
    told = Lock()

    def count() -> int:
        return sum(1 for _, end in results if end in (KILLED, SURVIVED))

    def report() -> dict[str, Any]:
        return report_of(results, last.get("asked", last["mutants"]) if last else given.count, reasons, last)

    def try_(mutant: Mutant) -> None:
        if not last and count() >= given.count:
            return
        bench = benches.get()
        try:
            end = bench.try_(mutant)
        finally:
            benches.put(bench)
        with told:
            results.append((mutant, end))
            print(f"[{count()}/{len(mutants) if last else given.count}] {end:9} {mutant.name}", flush=True)
            if not given.only and not last:  # so that whoever breaks it off has what was found so far
                REPORT.write_text(json.dumps(report(), indent=1, ensure_ascii=False) + "\n")

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(try_, mutants))

    found = report()
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if not given.only:
        REPORT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if found["killed_share"] < 0.9:
        sys.exit("mutate: less than nine in ten were noticed")
    if len(found["undecided"]) * 10 > found["mutants"]:
        sys.exit("mutate: more than one in ten undecided; the machine is too slow, or something is wrong with it")


if __name__ == "__main__":
    main()
