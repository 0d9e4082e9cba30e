"""What `python -m benchmarks planner` must show, by its cheap parts: names of figures and their bounds."""

from __future__ import annotations

import pytest
from benchmarks.planner import TASKS, brute_force_equal, edgeshard_testbed, gap_to_bound, six_replicas, swarm


def test_exact_programs_equal_brute_force_and_the_papers_memory_rule_does_not_always():
    equal, misses = brute_force_equal(60)
    assert equal == 60
    assert misses > 0


def test_edgeshards_testbed_gains_what_edgeshard_reports():
    found = edgeshard_testbed()
    assert found["edgeshard_latency_ratio"] <= 0.55
    assert found["edgeshard_throughput_ratio"] >= 2.0


def test_a_hundred_nodes_carry_nearly_what_the_bound_allows():
    found = gap_to_bound(6)
    assert 0 <= found["bound_gap_100x32"] <= 0.05
    assert found["throughput_vs_petals_joins"] > 1


def test_work_is_shared_by_speed():
    found = six_replicas()
    assert found["six_replicas_jain"] >= 0.9
    assert min(found["six_replicas_jobs"]) > 0


@pytest.mark.parametrize("task", TASKS)
def test_what_is_timed_runs(task):
    TASKS[task](swarm(100, 1))
