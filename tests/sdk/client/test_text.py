"""Text to tokens and back, with the tiny model's byte-level tokenizer."""

from __future__ import annotations

import msgspec
import pytest
from tests.kit.tiny_text import tiny_tokenizer
from tests.worker.engine.tiny import tiny_model

from ostraka.client.text import ModelText, TextStream
from ostraka.errors import BadManifest, HashMismatch, UsageError


@pytest.fixture
def text():
    return ModelText(tiny_model()[0], tiny_tokenizer())


@pytest.mark.parametrize("prompt", ["Hello, world", "Zürich 🙂 東京", "a\n\tb  c", "1234"])
def test_text_comes_back(text, prompt):
    assert text.decode(text.encode(prompt)) == prompt


def test_a_stream_shows_whole_characters_only(text):
    stream = TextStream(text)
    pieces = [stream.push(token) for token in text.encode("a🙂é!")]
    assert "".join(pieces) + stream.flush() == "a🙂é!"
    assert "\ufffd" not in "".join(pieces)


def test_a_half_character_at_the_end_is_still_shown(text):
    stream = TextStream(text)
    shown = "".join(stream.push(token) for token in text.encode("ok🙂")[:-1])
    assert shown == "ok"
    assert stream.flush() == "\ufffd"


def test_a_prompt_is_put_into_the_chat_template(text):
    templated = text.chat([{"role": "user", "content": "Hi"}])
    assert templated == "<|im_start|>user\nHi<|im_end|>\n"
    assert text.prompt("Hi") == text.encode(templated)
    assert text.prompt("Hi", chat=False) == text.encode("Hi")


def test_control_tokens_stay_whole(text):
    assert text.encode("<|im_end|>") == text.stop == [2]
    assert text.decode([2]) == ""


def test_another_tokenizer_file_is_refused(text):
    with pytest.raises(HashMismatch, match="tokenizer"):
        ModelText(text.manifest, tiny_tokenizer() + b" ")


def changed(text, template):
    tokenizer = msgspec.structs.replace(text.manifest.tokenizer, chat_template=template)
    return ModelText(msgspec.structs.replace(text.manifest, tokenizer=tokenizer), tiny_tokenizer())


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for x in range(10**9) %}x{% endfor %}",
        "{{ messages.append(1) }}",
        "{{ nope() }}",
        "{% broken",
    ],
)
def test_a_template_is_a_strangers_program_and_cannot_leave_its_sandbox(text, template):
    with pytest.raises(BadManifest, match="chat_template"):
        changed(text, template).chat([{"role": "user", "content": "Hi"}])


def test_a_model_without_a_template_takes_plain_prompts_only(text):
    plain = changed(text, "")
    assert plain.prompt("Hi") == plain.encode("Hi")
    with pytest.raises(UsageError, match="no chat template"):
        plain.chat([])


def test_an_empty_prompt_is_refused(text):
    with pytest.raises(UsageError, match="prompt"):
        text.prompt("")


TURNS = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]


def test_a_conversation_is_put_into_the_template_turn_by_turn(text):
    said = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in TURNS)
    assert text.prompt(TURNS) == text.encode(said)
    assert text.prompt([{"role": "user", "content": "Hi"}]) == text.prompt("Hi")


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([], "messages: empty"),
        ([{"role": "robot", "content": "x"}], "messages.0..role: 'robot'; say system, user or assistant"),
        (
            [*TURNS, {"role": "assistant", "content": "x"}],
            "messages.4..role: assistant; the last message must be the user's",
        ),
        ([{"role": "user", "content": ""}], "messages.0..content: empty"),
        ([{"role": "user", "content": 3}], "messages.0..content: empty or no text"),
        ([{"role": "user"}], "messages.0.: give it 'role' and 'content'"),
        (
            [{"role": "user", "content": "x", "name": "y"}],
            "messages.0.: give it 'role' and 'content', and nothing else",
        ),
        (["hello"], "messages.0.: give it 'role' and 'content'"),
    ],
)
def test_messages_that_cannot_be_are_refused_by_number(text, messages, named):
    with pytest.raises(UsageError, match=named):
        text.prompt(messages)


def test_a_conversation_needs_the_template(text):
    with pytest.raises(UsageError, match="messages: without the chat template"):
        text.prompt(TURNS, chat=False)
    with pytest.raises(UsageError, match="no chat template"):
        changed(text, "").prompt(TURNS)
