"""Breaks the contracts on purpose, one small change at a time, and sees whether the tests notice: `make mutate`.

    python tools/contracts/mutate.py [--count 80] [--jobs 1] [--seed 1] [--only StakeVault]
    python tools/contracts/mutate.py --again       only the survivors of the last report, after a test was added

Writes contracts/mutation-report.json: `mutants`, `killed_share`, `survivors`. A mutant that the tests of its own contract let live meets
those of whole jobs and disputes before it counts as a survivor. Why one may live is in contracts/survivors.toml.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "contracts" / "mutation-report.json"
REASONS = ROOT / "contracts" / "survivors.toml"
TIMEOUT_S = 1_200
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
    return chosen if count <= 0 else chosen[: count * 2]  # some will not compile


def survivors_of(report: dict[str, Any]) -> list[Mutant]:
    """Those of an earlier report, where they stand today."""
    found = []
    for one in report["survivors"]:
        kept = Mutant(**{key: value for key, value in one.items() if key != "why"})
        found += [m for m in candidates(ROOT / "contracts" / kept.file) if m.name == kept.name][:1]
    return found


def _turns(piles: list[list[Mutant]]) -> Iterator[list[Mutant]]:
    for turn in range(max((len(pile) for pile in piles), default=0)):
        yield [pile[turn] for pile in piles if turn < len(pile)]


class DoesNotCompile(Exception):
    """Code could not be made from a mutant, so that tests say nothing about it."""


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
        """`killed`, `survived` or `stillborn` (it does not compile)."""
        file = self.folder / "contracts" / mutant.file
        right = file.read_text()
        lines = right.splitlines()
        old = lines[mutant.line - 1]
        lines[mutant.line - 1] = old[: len(old) - len(old.lstrip())] + mutant.after
        file.write_text("\n".join(lines) + "\n")
        try:
            if not self.compiles(mutant):
                return "stillborn"
            known = [f"tests/contracts/test_{name}.py" for name in TESTS.get(file.stem, ())]
            known = [path for path in known if (self.folder / path).exists()]
            if known and not self.passes(known):
                return "killed"
            # Brownie may have taken a contract for unchanged whose library was: what seems to live meets them once more.
            shutil.rmtree(self.folder / "build" / "brownie", ignore_errors=True)
            if known and not self.passes(known):
                return "killed"
            return "survived" if self.passes([f"tests/contracts/test_{name}.py" for name in SECOND]) else "killed"
        except DoesNotCompile:
            return "stillborn"
        finally:
            file.write_text(right)

    def compiles(self, mutant: Mutant) -> bool:
        """Whether it does: without code made from it, which takes most of a compiler's time."""
        command = ["tools/contracts/solc", "--combined-json", "abi", f"contracts/{mutant.file}"]
        remap = "@openzeppelin/contracts=node_modules/@openzeppelin/contracts"
        return self.run(["node", *command, remap]) == 0

    def passes(self, tests: list[str]) -> bool:
        chain = ["--anvil"] if list((ROOT / "node_modules/@foundry-rs").glob("anvil-*/bin/anvil")) else []
        passed = self.run(["bash", "tools/contracts/test.sh", *chain, *tests, "-x", "-q"]) == 0
        if not passed and b"CompilerError" in (self.folder / "last.log").read_bytes():
            raise DoesNotCompile
        return passed

    def run(self, command: list[str]) -> int:
        log = self.folder / "last.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                return process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return 124
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=80)
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", default="", help="files whose name has this in it; writes no report")
    arguments.add_argument("--again", action="store_true", help="only the survivors of the last report")
    given = arguments.parse_args()
    reasons: dict[str, str] = tomllib.loads(REASONS.read_text())["reasons"] if REASONS.exists() else {}

    last = json.loads(REPORT.read_text()) if given.again else {}

    benches: SimpleQueue[Bench] = SimpleQueue()
    for number in range(given.jobs):
        bench = Bench(number)
        if not number and not bench.passes(["tests/contracts/test_treasury.py"]):
            sys.exit(f"mutate: tests fail without any mutant; see {bench.folder / 'last.log'}")
        benches.put(bench)
    results: list[tuple[Mutant, str]] = []

    def try_(mutant: Mutant) -> None:
        if sum(1 for _, end in results if end != "stillborn") >= given.count:
            return
        bench = benches.get()
        try:
            end = bench.try_(mutant)
        finally:
            benches.put(bench)
        results.append((mutant, end))
        print(f"[{sum(1 for _, e in results if e != 'stillborn')}/{given.count}] {end:9} {mutant.name}", flush=True)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(try_, survivors_of(last) if given.again else choose(given.count, given.seed, given.only)))

    tried = [(mutant, end) for mutant, end in results if end != "stillborn"]
    survivors = [mutant for mutant, end in tried if end == "survived"]
    mutants = last["mutants"] if given.again else len(tried)
    report = {
        "mutants": mutants,
        "killed_share": round(1 - len(survivors) / max(1, mutants), 4),
        "by_kind": last["by_kind"] if given.again else dict(Counter(mutant.kind for mutant, _ in tried)),
        "survivors": [{**asdict(m), "why": reasons.get(m.name, "not explained yet")} for m in survivors],
    }
    print(json.dumps(report, indent=1, ensure_ascii=False))
    if not given.only:
        REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if report["killed_share"] < 0.9:
        sys.exit("mutate: less than nine in ten were noticed")


if __name__ == "__main__":
    main()
