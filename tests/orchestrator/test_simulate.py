"""Simulated swarms: the same world gives the same report, and what happens in it is what was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from ostraka_orchestrator.cli import register
from ostraka_orchestrator.simulate import World, simulate

SMALL = World(nodes=60, seconds=200.0, hit_at_s=80.0, positions=128)


def test_a_world_repeats_itself():
    short = replace(SMALL, seconds=60.0, life_s=300.0)
    assert simulate(short) == simulate(short)
    assert simulate(short) != simulate(replace(short, seed=2))


def test_a_quiet_swarm_serves_what_is_asked_and_moves_nobody():
    report = simulate(SMALL)
    tail = report.served[len(report.served) // 2 :]
    assert sum(tail) / len(tail) == pytest.approx(report.offered, rel=0.15)
    assert (report.moves, report.restarted, report.coverage_breaks, report.moved_bytes) == (0, 0, 0, 0)


def test_nodes_that_leave_are_missed_and_the_rest_goes_on():
    report = simulate(replace(SMALL, leave_share=0.2))
    assert report.alive[0] == 60
    assert report.alive[-1] == 48
    assert report.restarted > 0
    assert report.coverage_breaks == 0
    assert report.kept(report.served) > 0.7


def test_a_swarm_that_lost_one_end_of_the_model_moves_nodes_there():
    world = replace(SMALL, leave_share=0.3, hit_by="span", seconds=400.0)
    moved, frozen = simulate(world), simulate(replace(world, move=False))
    assert moved.moves > 0
    assert moved.moved_bytes > 0
    assert frozen.moves == 0
    assert moved.carries[-1] > 1.3 * frozen.carries[-1]


def test_nodes_that_slow_down_are_helped_by_those_that_did_not():
    world = replace(SMALL, slow_share=0.5, hit_by="span", demand=0.3, seconds=400.0)
    moved, frozen = simulate(world), simulate(replace(world, move=False))
    assert frozen.carries[-1] < 0.2 * frozen.carries[0]
    assert moved.moves > 0
    assert moved.carries[-1] > 3 * frozen.carries[-1]
    assert moved.kept(moved.served) > frozen.kept(frozen.served)
    assert (moved.coverage_breaks, moved.alive[-1]) == (0, 60)


def test_newcomers_are_given_blocks():
    report = simulate(replace(SMALL, life_s=400.0))
    assert report.placed_newcomers > 0
    assert 30 < report.alive[-1] < 90


def test_fairness_evens_work_out():
    fair, unfair = simulate(SMALL), simulate(replace(SMALL, fairness=0.0))
    assert fair.jain > 0.85
    assert fair.jain > unfair.jain + 0.1


def test_a_swarm_too_small_for_the_model_is_refused():
    with pytest.raises(ValueError, match="does not hold the model"):
        simulate(replace(SMALL, nodes=1, blocks=100))


@pytest.mark.parametrize(
    "bad", [{"nodes": 0}, {"leave_share": 1.0}, {"slow_share": 1.1}, {"demand": 0.0}, {"regions": 65}]
)
def test_worlds_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        World(**bad)


def test_the_command_writes_a_page_a_picture_and_numbers(tmp_path):
    files = {kind: tmp_path / f"swarm.{kind}" for kind in ("png", "html", "json")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["simulate", "--nodes", "40", "--seconds", "60", "--positions", "32", *options])
    assert result.exit_code == 0, result.output
    assert "coverage_breaks  0" in result.output
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    page = files["html"].read_text()
    assert page.count("<svg") == 3
    assert "http" not in page
    assert '"jain"' in files["json"].read_text()
