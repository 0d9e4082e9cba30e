"""Partitions against brute force on small random graphs."""

from __future__ import annotations

from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.model.brkga import Brkga, evolve
from ostraka.model.ideals import contract, ideals, lower_bound
from ostraka.model.slices import best_slices, even_split, kahn, partition, slice_costs, slice_order
from ostraka.model.workload import Machine, Operation, Workload, quotient_is_acyclic

MACHINE = Machine(speed=2.0, link=3.0, stream=5.0, fast_bytes=12)
ROOMY = Machine(speed=2.0, link=3.0, stream=5.0, fast_bytes=10_000)


@st.composite
def workloads(draw, most=6):
    count = draw(st.integers(1, most))
    number = st.integers(0, 9)
    return Workload(
        tuple(
            Operation(
                f"op{at}",
                draw(number),
                draw(number),
                draw(number),
                tuple(draw(st.sets(st.sampled_from(range(at))))) if at else (),
            )
            for at in range(count)
        )
    )


keys = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).random(6))
stages = st.integers(1, 4)


def orders(workload, begun=()):
    ops = workload.operations
    if len(begun) == len(ops):
        yield begun
    for at in range(len(ops)):
        if at not in begun and set(ops[at].uses) <= set(begun):
            yield from orders(workload, (*begun, at))


def cuts(order, parts):
    for inner in combinations_with_replacement(range(len(order) + 1), parts - 1):
        yield [order[a:b] for a, b in pairwise([0, *inner, len(order)])]


@settings(max_examples=200, deadline=None)
@given(workloads(), keys)
def test_the_costs_of_all_slices_are_those_of_the_plain_formula(workload, keys):
    order = kahn(workload, keys)
    costs = slice_costs(workload, order, MACHINE)
    for a in range(len(order)):
        for b in range(len(order) + 1):
            expected = workload.cost(order[a:b], MACHINE) if a < b else np.inf
            assert costs[a, b] == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(workloads(), keys, stages)
def test_the_cut_of_an_order_is_the_best_of_all_cuts(workload, keys, parts):
    order = kahn(workload, keys)
    found = slice_order(workload, order, parts, MACHINE)
    assert found.bottleneck == pytest.approx(min(workload.bottleneck(c, MACHINE) for c in cuts(order, parts)))
    assert found.bottleneck == pytest.approx(workload.bottleneck(found.parts, MACHINE))
    assert len(found.parts) <= parts
    assert quotient_is_acyclic(workload, found.parts)


@settings(max_examples=60, deadline=None)
@given(workloads(), stages)
def test_no_partition_is_below_the_bound_and_without_overflow_one_reaches_it(workload, parts):
    for machine in (MACHINE, ROOMY):
        best = min(workload.bottleneck(c, machine) for order in orders(workload) for c in cuts(order, parts))
        bound, complete = lower_bound(workload, parts, machine)
        assert complete
        assert bound <= best + 1e-9
        if machine is ROOMY:
            assert bound == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(workloads(), stages)
def test_evolved_orders_find_the_optimum_of_small_graphs(workload, parts):
    best = min(workload.bottleneck(c, MACHINE) for order in orders(workload) for c in cuts(order, parts))
    found = partition(workload, parts, MACHINE)
    assert found.bottleneck == pytest.approx(best)
    assert quotient_is_acyclic(workload, found.parts)


@given(workloads(), keys)
def test_a_kahn_order_uses_nothing_before_it_is_made(workload, keys):
    assert tuple(kahn(workload, keys)) in set(orders(workload))


@given(workloads())
def test_ideals_are_the_prefixes_of_all_orders(workload):
    prefixes = {sum(1 << at for at in order[:r]) for order in orders(workload) for r in range(len(order) + 1)}
    assert set(ideals(workload)) == prefixes


def test_wide_graphs_have_a_bound_by_work_alone():
    wide = Workload(tuple(Operation(f"op{at}", 10, 0, 1) for at in range(40)))
    bound, complete = lower_bound(wide, 4, ROOMY)
    assert not complete
    assert bound == pytest.approx(40 * 10 / 4 / 2.0)


def test_a_cut_avoids_the_wide_value_even_if_the_work_is_less_even():
    chain = Workload(
        (
            Operation("a", 4, 0, 1),
            Operation("b", 4, 0, 100, (0,)),
            Operation("c", 4, 0, 1, (1,)),
            Operation("d", 4, 0, 1, (2,)),
        )
    )
    assert partition(chain, 2, ROOMY).parts in (((0,), (1, 2, 3)), ((0, 1, 2), (3,)))
    assert even_split(chain, 2, ROOMY).parts == ((0, 1), (2, 3))


def test_branches_are_run_one_after_the_other_when_that_saves_moving():
    # Two long branches from one source: taken in turn, each cut crosses both; one after the other it crosses one and the source.
    branch = [Operation("source", 0, 0, 1)]
    for step in range(4):
        for side in range(2):
            branch.append(Operation(f"{side}.{step}", 6, 0, 9, (0 if not step else len(branch) - 2,)))
    workload = Workload((*branch, Operation("join", 0, 0, 1, (7, 8))))
    given_order = slice_order(workload, range(10), 2, ROOMY)
    assert partition(workload, 2, ROOMY).bottleneck < given_order.bottleneck


def test_parameters_beyond_fast_memory_cost():
    two = Workload((Operation("a", 0, 20, 0), Operation("b", 0, 20, 0, (0,))))
    assert two.cost([0, 1], MACHINE) == pytest.approx((40 - 12) / 5)
    assert partition(two, 2, MACHINE).bottleneck == pytest.approx((20 - 12) / 5)


def test_an_operation_that_uses_what_comes_later_is_refused():
    with pytest.raises(ValueError, match="operation a: uses"):
        Workload((Operation("a", 1, 1, 1, (0,)),))


def test_parts_in_the_wrong_order_are_no_pipeline():
    chain = Workload((Operation("a", 1, 1, 1), Operation("b", 1, 1, 1, (0,))))
    assert quotient_is_acyclic(chain, [(0,), (1,)])
    assert not quotient_is_acyclic(chain, [(1,), (0,)])
    assert not quotient_is_acyclic(chain, [(0,)])


def test_evolution_is_never_worse_than_where_it_began_and_repeats_itself():
    def cost(x):
        return float(((x - 0.3) ** 2).sum())

    first = np.full(5, 0.31)
    found, value = evolve(cost, 5, 1, Brkga(generations=10), [first])
    assert value <= cost(first)
    assert (evolve(cost, 5, 1, Brkga(generations=10), [first])[0] == found).all()


def test_slices_may_be_fewer_than_allowed():
    borders, cost = best_slices(np.array([[np.inf, 1.0, 1.0], [np.inf, np.inf, 5.0]]), 2)
    assert (borders, cost) == ([0, 2], 1.0)


@settings(max_examples=100, deadline=None)
@given(workloads(), stages)
def test_a_contracted_graph_has_no_other_optimum_without_overflow(workload, parts):
    small = contract(workload)
    best = [min(w.bottleneck(c, ROOMY) for order in orders(w) for c in cuts(order, parts)) for w in (workload, small)]
    assert best[0] == pytest.approx(best[1])


def test_contraction_takes_views_away():
    views = Workload((Operation("a", 4, 0, 8), Operation("view", 0, 0, 8, (0,)), Operation("b", 4, 0, 8, (0, 1))))
    assert [o.name for o in contract(views).operations] == ["a", "b"]
