"""Parts of a network of real programs die by kill -9 while jobs run: no job is lost, none is paid twice, the wei add up."""

from __future__ import annotations

import math

import pytest
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
def test_a_chain_that_is_killed_costs_no_job_its_end():
    found = storm(3, only=("ganache",), nodes=3, store="local")
    assert found["final"] >= 3
    check(found, ["ganache"])


@pytest.mark.network
@pytest.mark.storm
@pytest.mark.timeout(1_800)
def test_every_part_is_killed_while_fifty_jobs_run():
    found = storm(50)
    assert found["jobs"] >= 50
    check(found, NAMES)
