"""What is asked of a language model: a text, or a conversation so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ostraka.errors import UsageError

ROLES = ("system", "user", "assistant")
Message = Mapping[str, str]
Prompt = str | Sequence[Message]


def check_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Each a role and what it said, the last one the user's. Raises `UsageError` naming the message and what is wrong with it."""
    if not messages:
        raise UsageError("messages: empty; give at least one of the user's")
    found = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise UsageError(f"{where}: give it 'role' and 'content', and nothing else")
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise UsageError(f"{where}.role: {str(role)[:40]!r}; say {', '.join(ROLES[:-1])} or {ROLES[-1]}")
        if not isinstance(content, str) or not content:
            raise UsageError(f"{where}.content: empty or no text; write what the {role} said")
        found.append({"role": role, "content": content})
    if found[-1]["role"] != "user":
        raise UsageError(f"messages[{len(found) - 1}].role: {found[-1]['role']}; the last message must be the user's")
    return found
