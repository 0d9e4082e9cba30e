"""Slither over all contracts: every finding of high or medium impact needs a reason in contracts/slither.toml, or it fails.

    python tools/contracts/analyse.py            exit 1 for findings without a reason, and for reasons without a finding

A finding is named `check:Contract.function(types)`; a reason names one, or several by `*`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REASONS = ROOT / "contracts" / "slither.toml"
REMAP = "@openzeppelin/contracts=node_modules/@openzeppelin/contracts"


def findings() -> dict[str, str]:
    """Description by name. Slither sees one file that imports all of ours, so that each is analysed once."""
    names = sorted(path.stem for path in (ROOT / "contracts").glob("*.sol"))
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        everything = Path(made) / "Everything.sol"
        imports = "".join(f'import {{{name}}} from "contracts/{name}.sol";\n' for name in names)
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
    first = finding["elements"][0]
    place = first["name"]
    fields = first.get("type_specific_fields", {})
    while fields.get("parent", {}).get("type") in ("function", "contract"):
        parent = fields["parent"]
        if parent["type"] == "function":
            place = f"{parent['type_specific_fields']['signature']}.{place}"
        else:
            place = f"{parent['name']}.{fields.get('signature', place)}"
        fields = parent.get("type_specific_fields", {})
    return f"{finding['check']}:{place}"


def main() -> None:
    reasons: dict[str, str] = tomllib.loads(REASONS.read_text())["reasons"]
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
