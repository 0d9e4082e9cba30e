"""What the planner is told of a model."""

from __future__ import annotations

from types import SimpleNamespace

from ostraka_orchestrator.desk import shape_of


def test_a_border_is_crossed_by_its_rows_and_by_a_digest_for_each_border_behind_it():
    blocks = [SimpleNamespace(held_bytes=10 + k, work=k, out_bytes=600 if k < 3 else 4) for k in range(4)]
    shape = shape_of(SimpleNamespace(blocks=blocks))
    assert shape.out_bytes == (600 + 3 * 32, 600 + 2 * 32, 600 + 32, 4)
    assert (shape.bytes_, shape.work) == ((10, 11, 12, 13), (0, 1, 2, 3))
