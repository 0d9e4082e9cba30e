"""A prompt, or a conversation: by options or from a file."""

from __future__ import annotations

import json

import pytest

from ostraka.cli.messages import read_prompt
from ostraka.errors import UsageError

TURNS = [{"role": "user", "content": "Is it 12:30?"}, {"role": "assistant", "content": "Yes."}]


def test_turns_by_options_and_from_a_file_are_the_same(tmp_path):
    (tmp_path / "turns.json").write_text(json.dumps(TURNS))
    assert read_prompt(None, ["user: Is it 12:30?", "assistant:Yes."], None) == TURNS
    assert read_prompt(None, None, tmp_path / "turns.json") == TURNS


def test_a_prompt_is_itself_and_nothing_is_nothing():
    assert read_prompt("user:hi", None, None) == "user:hi"
    assert read_prompt("", [], None) == ""
    assert read_prompt(None, None, None) is None


@pytest.mark.parametrize("text", ["{", '{"role": "user"}', "\udc80"])
def test_a_file_that_is_no_conversation_is_named(tmp_path, text):
    path = tmp_path / "turns.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"--messages .*turns.json: "):
        read_prompt(None, None, path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"--messages .*nothing.json"):
        read_prompt(None, None, tmp_path / "nothing.json")


def test_a_turn_without_a_role_and_two_ways_at_once_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--message: 'hello' says no role; write ROLE:TEXT"):
        read_prompt(None, ["hello"], None)
    with pytest.raises(UsageError, match="not two of them"):
        read_prompt("hi", ["user:hi"], None)
