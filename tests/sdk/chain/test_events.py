"""Python's events and views against the committed ABI: a renamed field in a contract fails here first."""

from __future__ import annotations

import dataclasses

import pytest

from ostraka.chain.artifacts import CONTRACTS, artifact, error_signatures
from ostraka.chain.events import CLASSES, Event, snake
from ostraka.chain.logs import _by_topic
from ostraka.chain.plan import adjudication_rules, market_params, possession_terms
from ostraka.params import PRESETS
from ostraka.types import OSTR, JobState, NodeStatus

PLACE = {f.name for f in dataclasses.fields(Event)}


def entries(kind):
    return {e["name"]: e for name in CONTRACTS for e in artifact(name)["abi"] if e["type"] == kind}


@pytest.mark.parametrize("name", CLASSES)
def test_every_event_class_has_the_contracts_fields(name):
    fields = [f.name for f in dataclasses.fields(CLASSES[name]) if f.name not in PLACE]
    assert fields == [snake(i["name"]) for i in entries("event")[name]["inputs"]]


def test_every_event_of_a_job_has_a_class():
    about_jobs = {n for n, e in entries("event").items() if any(i["name"] == "jobId" for i in e["inputs"])}
    assert about_jobs <= set(CLASSES)


def struct(contract, function):
    (entry,) = [e for e in artifact(contract)["abi"] if e.get("name") == function and e["type"] == "function"]
    return [c["name"] for c in entry["outputs"][0]["components"]]


def test_views_are_read_in_the_contracts_order():
    """`Market` reads struct fields by place; this is the order it relies on."""
    assert struct("JobMarket", "job") == [
        "state", "requester", "orchestrator", "modelId", "blocks", "replicas", "maxUnits", "pricePerUnit", "escrow",
        "deadline", "revealDeadline", "challengeDeadline", "epoch", "round", "committed", "revealed", "outvoted", "resultHash",
    ]  # fmt: skip
    assert struct("JobMarket", "replica") == ["state", "seal", "resultHash"]
    assert struct("NodeRegistry", "node") == ["operator", "operatorId", "status", "jailedUntil", "signer"]
    assert struct("ShardRegistry", "challengeOf") == [
        "state", "nodeId", "start", "stop", "requestBlock", "deadline", "challenger", "penalty", "locked", "modelId", "seed",
    ]  # fmt: skip
    assert struct("StakeVault", "account") == ["staked", "locked", "unbonding", "unlockAt"]


def test_possession_terms_are_given_in_the_contracts_order():
    names = struct("ShardRegistry", "possessionTerms")
    for params in PRESETS.values():
        values = dict(zip(names, possession_terms(params), strict=True))
        assert values == {
            "windowSeconds": params.possession_window_s,
            "cooldownSeconds": params.possession_cooldown_s,
            "bond": params.possession_bond,
            "minSlash": params.possession_min_slash,
            "slashBps": params.possession_slash_bps,
        }
        assert 2 * params.possession_window_s <= params.unbonding_period_s


def test_adjudication_rules_are_given_in_the_contracts_order():
    names = struct("Adjudicator", "rules")
    values = dict(zip(names, adjudication_rules(PRESETS["main"]), strict=True))
    main = PRESETS["main"]
    assert values == {
        "seats": main.jurors,
        "appealSeats": main.appeal_jurors,
        "seatSeconds": main.seat_s,
        "commitSeconds": main.vote_s,
        "revealSeconds": main.vote_reveal_s,
        "appealSeconds": main.appeal_s,
        "closeSeconds": main.close_s,
        "proofSeconds": main.proof_s,
        "jurorBond": main.juror_bond,
        "appealBond": main.appeal_bond,
    }


def test_parameters_are_given_in_the_contracts_order():
    names = struct("Params", "current")
    assert names[5:9] == ["minWindowSeconds", "maxWindowSeconds", "revealWindowSeconds", "challengeWindowSeconds"]
    assert struct("DisputeCourt", "dispute")[4] == "winner"
    for params in PRESETS.values():
        values = dict(zip(names, market_params(params), strict=True))
        assert values["protocolFeeBps"] == params.protocol_fee_bps
        assert values["minWindowSeconds"] == params.min_window_s
        assert values["revealWindowSeconds"] == params.reveal_window_s
        assert values["challengeWindowSeconds"] == params.challenge_window_s
        assert values["slashBps"] == params.slash_bps


def test_stake_stays_slashable_longer_than_any_job_can_take():
    for params in PRESETS.values():
        replacing = 2 * params.min_window_s
        judging = 2 * (params.seat_s + params.vote_s + params.vote_reveal_s) + params.appeal_s + params.close_s
        dispute = 2 * params.response_window_s + params.challenge_window_s + max(params.challenge_window_s, judging)
        longest = params.max_window_s + replacing + params.reveal_window_s + dispute
        assert params.unbonding_period_s >= 2 * longest
        epoch = params.max_window_s + params.reveal_window_s + params.challenge_window_s + 2 * params.epoch_grace_s
        assert params.unbonding_period_s >= 2 * epoch
        assert params.juror_weight * OSTR >= params.juror_bond


def test_enums_count_as_the_contracts_do():
    source = entries("function")["job"]["outputs"][0]["components"][0]["internalType"]
    assert source == "enum IJobs.JobState"
    assert [s.name for s in JobState] == [
        "NONE",
        "OPEN",
        "COMMITTING",
        "REVEALING",
        "AGREED",
        "FINAL",
        "CANCELLED",
        "FAILED",
        "REPLACING",
        "DISPUTED",
        "OVERTURNED",
    ]
    assert [s.name for s in NodeStatus] == ["NONE", "PENDING", "ACTIVE", "DRAINING", "EXITING", "EXITED", "JAILED"]


def test_no_two_custom_errors_share_a_selector():
    names = {e["name"] for name in CONTRACTS for e in artifact(name)["abi"] if e["type"] == "error"}
    assert len({e["name"] for e in error_signatures().values()}) == len(names)


SHAPES = list(_by_topic().items())


@pytest.mark.parametrize(("topic", "shape"), [pytest.param(t, s, id=s.cls.__name__) for t, s in SHAPES])
def test_words_are_read_as_eth_abi_reads_them(topic, shape):
    """Of largest values, too: all bits of each type set."""
    if shape.words is None:
        assert any(
            entry["type"].startswith(("string", "tuple")) or entry["type"].endswith("]") for _, entry in shape.data
        )
        return
    for fill in (b"\x01", b"\xff"):
        words = [fitting(entry["type"], fill) for _, entry in (*shape.indexed, *shape.data)]
        topics, data = [topic, *words[: len(shape.indexed)]], b"".join(words[len(shape.indexed) :])
        assert shape.values(topics, data) == shape._any_values(topics, data)
        with pytest.raises(ValueError, match="want"):
            shape.values(topics, data + bytes(32))


def fitting(kind, fill):
    """A word with as many bytes of `fill` as the type has room for; a truth is one bit."""
    if kind == "bool":
        return bytes(31) + b"\x01"
    if kind.startswith("bytes"):
        return (fill * int(kind[5:])).ljust(32, b"\0")
    size = 20 if kind == "address" else int(kind[4:]) // 8
    return (fill * size).rjust(32, b"\0")
