"""`ostraka doctor` says what would compute here, what would not, and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from ostraka_worker.kernels.probe import KERNELS

OLDEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OSTRAKA_NATIVE": "off"}


def doctor(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "ostraka.cli", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment}).stdout


def test_every_kernel_has_a_verdict_and_one_of_the_exact_ones_is_used():
    seen = json.loads(doctor("--json"))
    assert [kernel["name"] for kernel in seen["kernels"]] == list(KERNELS)
    exact = {kernel["name"]: kernel["speed"] for kernel in seen["kernels"] if not kernel["refused"]}
    assert seen["kernel"] in exact
    assert exact["fp32"] > 0  # every machine has this one
    assert all(kernel["speed"] == 0 for kernel in seen["kernels"] if kernel["refused"])


def test_a_person_sees_what_was_refused_and_why():
    lines = doctor(**OLDEST).splitlines()
    by_kernel = {
        line[11:].split()[0]: line for line in lines[lines.index(next(x for x in lines if "kernels" in x)) + 1 :]
    }
    assert "refused: off: switched off by OSTRAKA_NATIVE" in by_kernel["native"]
    assert "→" in next(line for line in by_kernel.values() if "exact" in line)
    assert sum("→" in line for line in by_kernel.values()) == 1
