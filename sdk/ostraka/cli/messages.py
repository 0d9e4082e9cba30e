"""What `ostraka job submit` and `ostraka run local` ask a language model: a prompt, or the messages of a conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostraka.errors import UsageError

if TYPE_CHECKING:
    from ostraka.client.conversation import Prompt

MessageOption = Annotated[
    list[str] | None,
    typer.Option("--message", help="ROLE:TEXT, a turn of a conversation (system, user, assistant); one option a turn."),
]
MessagesOption = Annotated[
    Path | None, typer.Option("--messages", help="A JSON file with a conversation: a list of {role, content}.")
]


def read_prompt(prompt: str | None, message: list[str] | None, file: Path | None) -> Prompt | None:
    """The one that was given; None where none was. Raises `UsageError` for two of them, and for what cannot be read."""
    if sum(given is not None for given in (prompt, message or None, file)) > 1:
        raise UsageError("prompt: give a prompt, or --message, or --messages; not two of them")
    if message:
        return [_turn(turn) for turn in message]
    return prompt if file is None else _of_file(file)


def _turn(text: str) -> dict[str, str]:
    role, colon, content = text.partition(":")
    if not colon:
        raise UsageError(f"--message: {text[:40]!r} says no role; write ROLE:TEXT, for example 'user:Hello'")
    return {"role": role.strip(), "content": content.strip()}


def _of_file(file: Path) -> list[Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--messages {file}: {error}") from None
    if not isinstance(found, list):
        raise UsageError(f"--messages {file}: is no list of {{role, content}}")
    return found
