from __future__ import annotations

import pytest

from ostraka.client.client import to_wei
from ostraka.client.profile import FILE_NAME, find_profile, load_profile
from ostraka.errors import ConfigError, UsageError
from ostraka.types import OSTR

GOOD = """
[chain]
url = "http://127.0.0.1:8545"
deployment = "d.json"
[orchestrator]
url = "http://127.0.0.1:8700/"
[account]
key = "keys/me.key"
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / FILE_NAME
    file.write_text(GOOD)
    return file


def test_paths_are_relative_to_the_file(path):
    profile = load_profile(path, {})
    assert profile.deployment == path.parent / "d.json"
    assert profile.key == path.parent / "keys" / "me.key"
    assert profile.orchestrator_url == "http://127.0.0.1:8700"
    assert profile.store_url == ""
    assert profile.chain_ws_url == ""


def test_the_environment_wins(path):
    profile = load_profile(path, {"OSTRAKA_CHAIN_URL": "http://other:1", "OSTRAKA_STORE_URL": "file:///s"})
    assert (profile.chain_url, profile.store_url) == ("http://other:1", "file:///s")


def test_the_environment_alone_is_enough():
    environment = {"OSTRAKA_CHAIN_URL": "http://x:1", "OSTRAKA_DEPLOYMENT": "/d.json"}
    assert load_profile(None, environment).chain_url == "http://x:1"


def test_the_nearest_profile_above_is_found(path):
    deep = path.parent / "a" / "b"
    deep.mkdir(parents=True)
    assert find_profile(deep) == path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[chain", "not TOML"),
        ("[chain]\nurl = 5", "chain.url must be a string"),
        ("[chain]\nurl = 'http://x'\ndeployment = 'd'\nws_url = 'http://x'", "chain.ws_url: 'http://x' is not a ws"),
        ("[chain]\nulr = 'x'", "chain.ulr is no setting; there are chain.url"),
        ("colour = 'red'", "is no setting"),
        ("[chain]\nurl = 'http://x'", "OSTRAKA_DEPLOYMENT"),
        ("", "chain.url: not set"),
    ],
)
def test_a_bad_profile_is_named_with_its_setting(path, text, names):
    path.write_text(text)
    with pytest.raises(ConfigError, match=names):
        load_profile(path, {})


def test_a_missing_profile_is_named(tmp_path):
    with pytest.raises(ConfigError, match="absent"):
        load_profile(tmp_path / "absent.toml", {})


def test_amounts_are_exact_to_a_billionth():
    assert to_wei(0.1) == OSTR // 10
    assert to_wei(1.000000001) == OSTR + 10**9


@pytest.mark.parametrize("amount", [0, -1, float("nan"), float("inf")])
def test_an_impossible_amount_is_refused(amount):
    with pytest.raises(UsageError, match="positive"):
        to_wei(amount)


def test_how_an_orchestrator_follows_the_chain_may_stand_in_the_profile_or_the_environment(path):
    profile = load_profile(path, {})
    assert (profile.confirmations, profile.reorg_depth) == (None, None)
    path.write_text(GOOD.replace("[account]", 'confirmations = 3\nreorg_depth = "20"\n[account]'))
    profile = load_profile(path, {"OSTRAKA_REORG_DEPTH": "7"})
    assert (profile.confirmations, profile.reorg_depth) == (3, 7)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("confirmations = -1", "orchestrator.confirmations: '-1' is no whole number from 0 up"),
        ("reorg_depth = 0", "orchestrator.reorg_depth: '0' is no whole number from 1 up"),
        ('reorg_depth = "deep"', "orchestrator.reorg_depth: 'deep' is no whole number from 1 up"),
        ("confirmations = true", "orchestrator.confirmations must be a string, got True"),
    ],
)
def test_a_number_that_is_none_is_named(path, line, what):
    path.write_text(GOOD.replace("[account]", f"{line}\n[account]"))
    with pytest.raises(ConfigError, match=what):
        load_profile(path, {})
