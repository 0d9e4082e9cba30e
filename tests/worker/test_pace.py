"""How fast a node says it is: from a trial at first, then from what its blocks show, whatever span they are."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.worker.engine.tiny import tiny_model

from ostraka.model import Manifest
from ostraka_worker import measure
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.measure import SAMPLES, Trial
from ostraka_worker.node import Node
from ostraka_worker.pace import Pace, usual
from ostraka_worker.sessions import LEAST_WORK, STEPS_KEPT, STEPS_NEEDED, Runner

MANIFEST, _ = tiny_model()
TRIAL = Pace(1e9, 0.0005)


class FakeStage:
    """Blocks [0, count) of a model, each of them so much work."""

    def __init__(self, count: int = 4, work: int = LEAST_WORK) -> None:
        from msgspec.structs import replace

        blocks = tuple(replace(b, work=work) for b in MANIFEST.blocks[:count])
        self.manifest: Manifest = replace(MANIFEST, blocks=blocks)
        self.start, self.stop, self.position_bytes = 0, count, 1


def runner(steps, **stage) -> Runner:
    found = Runner(FakeStage(**stage), executor=None)
    found._steps.extend(steps)
    return found


def test_two_lengths_of_step_give_what_each_costs_and_what_its_work_does():
    pace = Pace.between(10, 0.004, 40, 0.007)
    assert pace.speed == pytest.approx(1e4)
    assert pace.step_s == pytest.approx(0.003)


@pytest.mark.parametrize("few_s", [0.009, 0.0001])
def test_where_the_line_makes_no_sense_all_is_work(few_s):
    assert Pace.between(10, few_s, 40, 0.008) == Pace(40 / 0.008, 0.0)


def test_what_is_usual_is_the_mean_without_the_slowest_of_every_sixteen():
    assert usual([1.0, 3.0]) == 2.0, "a few steps are all counted"
    assert usual([*[1.0] * 12, *[2.0] * 3, 900.0]) == pytest.approx(1.2)


def test_a_trial_runs_real_layers_and_gives_them_back(monkeypatch):
    monkeypatch.setattr(measure, "PAUSE_S", 0.0)
    kernel, _ = pick_kernel()
    trial = Trial(kernel)
    first = trial.sample()
    assert first.speed > 1e6
    assert 0 <= first.step_s < 1.0
    assert trial.wants
    assert trial.sample(SAMPLES - 1).speed > 1e6
    assert not trial.wants
    assert not trial._layers


def test_a_sample_that_something_else_lengthened_does_not_count(monkeypatch):
    kernel, _ = pick_kernel()
    monkeypatch.setattr(measure, "PAUSE_S", 0.0)
    trial = Trial(kernel)
    took = iter([1e-3, 3e-3, 0.5, 0.7, 1e-3, 3e-3, 0.001, 0.9])
    monkeypatch.setattr(trial, "_step", lambda layers: next(took))
    pace = trial.sample(4)
    assert pace.step_s < 1e-3
    assert pace.speed > 1e9


def test_blocks_show_their_pace_without_what_a_step_costs_anyhow():
    work = 4 * LEAST_WORK
    shown = runner([(work / 1e9 + 0.0005, 0.0003)] * STEPS_NEEDED).shown(TRIAL, TRIAL.step_s)
    assert shown is not None
    assert shown.speed == pytest.approx(1e9)
    assert shown.step_s == pytest.approx(0.0008)


def test_few_steps_show_nothing_and_little_work_no_speed():
    assert runner([(0.001, 0.0)] * (STEPS_NEEDED - 1)).shown(TRIAL, 0.0) is None
    shown = runner([(0.001, 0.0002)] * STEPS_NEEDED, work=1).shown(TRIAL, 0.0)
    assert shown == Pace(TRIAL.speed, pytest.approx(0.0002))


def test_blocks_that_slow_down_are_soon_said_to_be_slow():
    work = 4 * LEAST_WORK
    node = runner([(work / 1e9, 0.0003)] * STEPS_KEPT)
    node._steps.extend([(20 * work / 1e9, 0.0003)] * STEPS_KEPT)
    shown = node.shown(TRIAL, 0.0)
    assert shown is not None
    assert shown.speed == pytest.approx(1e9 / 20)


def test_a_step_that_was_mostly_at_rest_is_not_called_boundlessly_fast():
    shown = runner([(0.0004, 0.0)] * STEPS_NEEDED).shown(TRIAL, 0.0005)
    assert shown is not None
    assert shown.speed == pytest.approx(4 * LEAST_WORK / 0.0002)


def test_a_node_that_moves_still_knows_its_pace():
    async def play():
        node = Node(None, None, None, None, None)
        node.trial = TRIAL
        assert node.pace == TRIAL
        node.serve_stage(FakeStage(), b"model")
        assert node.pace == TRIAL
        node._runner._steps.extend([(0.01, 0.001)] * STEPS_NEEDED)
        shown = node.pace
        assert shown.speed == pytest.approx(4 * LEAST_WORK / 0.0095)
        node.stop_serving()
        assert node.pace == shown
        node.serve_stage(FakeStage(count=2), b"model")
        assert node.pace == shown, "until the new blocks have shown more"
        node._runner._steps.extend([(0.002, 0.001)] * STEPS_NEEDED)
        assert np.isclose(node.pace.speed, 2 * LEAST_WORK / 0.0015)
        node.shut_down()

    asyncio.run(play())
