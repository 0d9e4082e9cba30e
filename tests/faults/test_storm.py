"""Parts of a network of real programs die by kill -9 while jobs run: no job is lost, none is paid twice, the wei add up."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
from benchmarks._faults.left import marked, processes_left
from benchmarks.faults import all_faults, storm

NAMES = [fault.name for fault in all_faults()]


def check(found, faults):
    assert found["jobs"] == found["final"] + found["refunded"]
    # A node that is away for longer than the reveal window loses its job's lock: that is the law, so slashes are not counted here.
    assert found["lost"] == found["paid_twice"] == found["slashed_twice"] == found["balance_drift"] == 0
    assert found["wrong_in_books"] == []
    assert set(found["recovery_s"]) == set(faults)
    assert all(math.isfinite(seconds) for seconds in found["recovery_s"].values()), found["recovery_s"]
    assert found["processes_left"] == 0


@pytest.mark.network
@pytest.mark.slow
def test_a_worker_and_a_chain_that_are_killed_cost_no_job_its_end():
    found = storm(6, only=("a worker", "ganache"), nodes=3, store="local")
    assert found["final"] >= 3
    check(found, ["a worker", "ganache"])


def test_a_program_that_another_one_left_behind_is_found():
    mark = f"orphan of {os.getpid()}"
    orphan = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    with marked(mark):
        subprocess.run([sys.executable, "-c", orphan], check=True)
    (left,) = processes_left(mark, 0.0)
    left.kill()
    assert processes_left(mark) == []


@pytest.mark.network
@pytest.mark.storm
@pytest.mark.timeout(1_800)
def test_every_part_is_killed_while_fifty_jobs_run():
    found = storm(50)
    assert found["jobs"] >= 50
    check(found, NAMES)
