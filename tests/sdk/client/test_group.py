"""Several orchestrators as one, over real connections: whoever is alive is heard, whoever dies or lies is no obstacle."""

from __future__ import annotations

import threading
import time

import pytest
from tests.kit.orchestrators import Teller

from ostraka.chain.orchestrators import ANYBODY
from ostraka.client.group import PATIENCE_S, Group
from ostraka.client.streams import CLOSED_GRACE_S
from ostraka.errors import BadFrame, ConfigError, OrchestratorUnreachable, UsageError

TOKENS = [{"type": "token", "replica": 0, "index": i, "token": 100 + i} for i in range(4)]
MATCHED, COMMITTED, CLOSED = {"type": "matched"}, {"type": "committed"}, {"type": "closed", "state": "final"}


@pytest.fixture
def teller():
    made = []

    def make(*arguments, **options):
        made.append(Teller(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.die()


@pytest.fixture
def group():
    made = []

    def make(*registered, own=""):
        made.append(Group(lambda: {one.account: one.url for one in registered}, own and own.url))
        return made[-1]

    yield make
    for one in made:
        one.close()


def soon(seconds=10.0):
    return time.monotonic() + seconds


def gone(one):
    one.die()
    return one


def test_jobs_name_nobody_where_a_registered_one_answers_else_the_profiles_own(teller, group):
    own = teller("0xown")
    assert group(own=own).whom() == "0xown"
    dead, alive = gone(teller("0xa")), teller("0xb")
    assert group(dead, alive, own=own).whom() == ANYBODY
    assert group(dead, own=own).whom() == "0xown"
    assert group(dead, alive).reachable().url == alive.url
    assert group(dead, alive, own=own).reachable().url == own.url
    with pytest.raises(OrchestratorUnreachable, match="nothing answers at"):
        group(own=gone(own)).whom()
    with pytest.raises(ConfigError, match=r"orchestrator\.url: not set"):
        group(dead).whom()


def test_an_input_goes_to_all_and_one_that_takes_it_is_enough(teller, group):
    one, other, dead, mute = teller("0xa"), teller("0xb"), gone(teller("0xc")), teller("0xd", "UsageError")
    group(one, other, dead, mute).send_input(7, b"hello", ANYBODY, soon())
    assert one.inputs == other.inputs == {7: b"hello"}


def test_an_input_of_a_job_that_names_the_profiles_own_goes_nowhere_else(teller, group):
    own, other = teller("0xown"), teller("0xb")
    group(other, own=own).send_input(7, b"hello", "0xown", soon())
    assert (own.inputs, other.inputs) == ({7: b"hello"}, {})


def test_one_that_hangs_is_not_waited_for(teller, group):
    quick, hanging = teller("0xa"), teller("0xb", slow_s=30)
    began = time.monotonic()
    group(quick, hanging).send_input(7, b"hello", ANYBODY, soon())
    assert time.monotonic() - began < PATIENCE_S + 1


def test_content_comes_from_another_where_the_profiles_own_hangs(teller, group):
    own, other = teller("0xown", slow_s=30), teller("0xb")
    began = time.monotonic()
    assert group(other, own=own).reachable().url == other.url
    assert time.monotonic() - began < PATIENCE_S + 1


def test_an_input_that_nobody_takes_is_offered_until_the_deadline_and_a_refusal_is_told_at_once(teller, group):
    with pytest.raises(OrchestratorUnreachable, match=r"job 7: .*the escrow comes back after the deadline"):
        group(gone(teller())).send_input(7, b"hello", ANYBODY, soon(0.2))
    with pytest.raises(UsageError, match="so it is"):
        group(teller("0xa", "UsageError")).send_input(7, b"hello", ANYBODY, soon())


def test_an_answer_goes_on_from_another_when_its_orchestrator_dies_in_the_middle(teller, group):
    leader, second = teller("0xa"), teller("0xb")
    leader.events = [MATCHED, *TOKENS[:2]]
    stream = group(leader, second).events(7, soon())
    assert [next(stream) for _ in range(3)] == leader.events
    leader.die()
    second.events = [MATCHED, *TOKENS, COMMITTED, CLOSED]
    assert list(stream) == second.events


def test_one_that_had_no_part_in_a_job_does_not_end_the_story_of_another(teller, group):
    leader, bystander = teller("0xa"), teller("0xb")
    bystander.events = [CLOSED]
    leader.events = [MATCHED, TOKENS[0]]
    stream = group(leader, bystander).events(7, soon())
    assert [next(stream), next(stream)] == leader.events
    leader.events += [TOKENS[1], CLOSED]
    assert list(stream) == [TOKENS[1], CLOSED]


def test_where_all_who_had_a_part_are_dead_the_bystanders_word_ends_it(teller, group):
    dead, bystander = gone(teller("0xa")), teller("0xb")
    bystander.events = [CLOSED]
    began = time.monotonic()
    assert list(group(dead, bystander).events(7, soon(60))) == [CLOSED]
    assert time.monotonic() - began < CLOSED_GRACE_S + 2


def test_nonsense_from_one_leaves_the_others_heard(teller, group):
    honest, liar = teller("0xa"), teller("0xb")
    liar.events = [{"no": "type"}, CLOSED]
    liar.replicas = {"zero": None}
    honest.events = [MATCHED, TOKENS[0], CLOSED]
    honest.replicas = {0: {"tokens": [100]}}
    both = group(honest, liar)
    assert list(both.events(7, soon())) == honest.events
    assert both.job(7)["replicas"] == honest.replicas
    with pytest.raises(BadFrame, match="has no type"):
        list(group(liar).events(7, soon()))
    liar.events = [{"type": "token", "index": "0"}]
    with pytest.raises(BadFrame, match="lacks one of index, token"):
        list(group(liar).events(7, soon()))


def test_of_a_job_is_shown_what_the_bound_one_shows_and_what_others_add(teller, group):
    bound, other = teller("0xb"), teller("0xa")
    bound.replicas, bound.events = {0: {"tokens": [1]}}, [MATCHED]
    other.replicas, other.events = {0: {"error": "refused"}, 1: {"tokens": [2]}}, [COMMITTED]
    both = group(other, bound)
    assert both.job(7, "0xb")["replicas"][0] == {"tokens": [1]}
    bound.die()
    assert both.job(7, "0xb") == {"job_id": 7, "events": [COMMITTED], "replicas": other.replicas}
    other.die()
    with pytest.raises(OrchestratorUnreachable):
        both.job(7, "0xb")


def test_whoever_stops_listening_leaves_no_thread_behind(teller, group, eventually):
    one, other = teller("0xa"), teller("0xb")
    one.events = [MATCHED]
    before = {t.name for t in threading.enumerate() if "(run)" in t.name}
    stream = group(one, other).events(7, soon(60))
    next(stream)
    stream.close()
    eventually(lambda: {t.name for t in threading.enumerate() if "(run)" in t.name} <= before)
