"""Slither over all contracts: every finding of high or medium impact needs a reason in contracts/slither.toml, or it fails.

    python tools/contracts/analyse.py            exit 1 for findings without a reason, and for reasons without a finding

A finding is named `check:Contract.function(types)`, or `….variable`; a reason names one, with `(*)` for the types.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REASONS = ROOT / "contracts" / "slither.toml"
REMAP = "@openzeppelin/contracts=node_modules/@openzeppelin/contracts"

ONE_PLACE = re.compile(r"[\w-]+:\w+\.\w+(\(\*\)(\.\w+)?)?")


def sources() -> list[str]:
    """All files but those for tests, by their path in contracts/: also those that nothing deployed inherits, such as ConsumerBase."""
    folder = ROOT / "contracts"
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.sol"))
    return [file.as_posix() for file in files if file.parts[0] != "mocks"]


def findings() -> dict[str, str]:
    """Description by name. Slither sees one file that imports all of ours, so that each is analysed once."""
    files = sources()
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        everything = Path(made) / "Everything.sol"
        imports = "".join(f'import "contracts/{file}" as File{number};\n' for number, file in enumerate(files))
        everything.write_text(f"// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.28;\n{imports}")
        report = Path(made) / "report.json"
        command = [
            Path(sys.executable).with_name("slither"), everything.relative_to(ROOT),
            "--solc", "tools/contracts/solc", "--solc-remaps", REMAP,
            "--filter-paths", "node_modules", "--json", report,
            "--exclude-low", "--exclude-informational", "--exclude-optimization",
        ]  # fmt: skip
        done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)
        if not report.exists():
            sys.exit(f"analyse: Slither did not run:\n{done.stderr[-3000:]}")
        told = json.loads(report.read_text())
    if not told["success"]:
        sys.exit(f"analyse: Slither failed:\n{told['error'][-3000:]}")
    return {name_of(one): one["description"] for one in told["results"].get("detectors", [])}


def name_of(finding: dict[str, Any]) -> str:
    """`check:Contract.function(types)`, with the variable behind it where one is meant, or `check:Contract.variable`."""
    first = finding["elements"][0]
    fields = first.get("type_specific_fields", {})
    place = fields.get("signature", first["name"])
    while fields.get("parent", {}).get("type") in ("function", "contract"):
        parent = fields["parent"]
        fields = parent.get("type_specific_fields", {})
        place = f"{fields.get('signature', parent['name'])}.{place}"
    return f"{finding['check']}:{place}"


def too_wide(patterns: Iterable[str]) -> list[str]:
    """Those that stand for more than one place: a reason holds where somebody has looked, and for nothing that is written later."""
    return [pattern for pattern in patterns if not ONE_PLACE.fullmatch(pattern)]


def main() -> None:
    reasons: dict[str, str] = tomllib.loads(REASONS.read_text())["reasons"]
    if wide := too_wide(reasons):
        sys.exit(f"contracts/slither.toml: {wide[0]!r} stands for more than one place; give each its own reason")
    found = findings()
    unused = set(reasons)
    unexplained = []
    for name, description in sorted(found.items()):
        matching = {pattern for pattern in reasons if fnmatchcase(name, pattern)}
        unused -= matching
        if not matching:
            unexplained.append(f"{name}\n{description}")
    for text in unexplained:
        print(text, file=sys.stderr)
    for pattern in sorted(unused):
        print(f"contracts/slither.toml: nothing is found for {pattern!r} any more; remove it", file=sys.stderr)
    if unexplained or unused:
        sys.exit(f"analyse: {len(unexplained)} findings without a reason, {len(unused)} reasons without a finding")
    print(f"slither: {len(found)} findings of high or medium impact, each with a reason in contracts/slither.toml")


if __name__ == "__main__":
    main()
