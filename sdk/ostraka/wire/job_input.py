"""The job input: what is computed, as canonical bytes (docs/protocol.md §2)."""

from __future__ import annotations

import msgspec

from ostraka.crypto.canonical import canonical_json, sha256
from ostraka.errors import BadFrame, PromptTooLong, UsageError
from ostraka.types import Digest

MAX_INPUT_BYTES = 4 << 20


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: str = "greedy"


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prompt: list[int]
    max_tokens: int
    stop: list[int]
    sampling: Sampling = Sampling()
    kind: str = "generate"
    version: int = 1

    def encode(self) -> bytes:
        return canonical_json(msgspec.to_builtins(self))

    @property
    def digest(self) -> Digest:
        return sha256(self.encode())

    @property
    def max_units(self) -> int:
        """Most positions this job can take: the last token is never fed back."""
        return len(self.prompt) + self.max_tokens - 1

    def check(self, vocab: int, context: int) -> None:
        """Raises `UsageError` or `PromptTooLong`, naming the field."""
        if self.kind != "generate" or self.version != 1:
            raise UsageError(f"kind: {self.kind!r} version {self.version} is not served; use 'generate' version 1")
        if self.sampling.mode != "greedy":
            raise UsageError(f"sampling.mode: {self.sampling.mode!r} is not served; use 'greedy'")
        if not self.prompt:
            raise UsageError("prompt: empty; give at least one token")
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens: {self.max_tokens}; ask for at least 1")
        outside = next((t for t in self.prompt if not 0 <= t < vocab), None)
        if outside is not None:
            raise UsageError(f"prompt: token {outside} is outside the vocabulary of {vocab}")
        if self.max_units > context:
            raise PromptTooLong(
                f"prompt: {len(self.prompt)} tokens and max_tokens {self.max_tokens} need {self.max_units} positions, "
                f"the model's context has {context}; shorten the prompt or lower max_tokens"
            )


def decode_input(data: bytes) -> JobInput:
    """Raises `BadFrame` unless `data` is a job input in canonical form."""
    if len(data) > MAX_INPUT_BYTES:
        raise BadFrame(f"job input: {len(data)} bytes, at most {MAX_INPUT_BYTES} are read")
    try:
        value = msgspec.json.decode(data, type=JobInput)
    except msgspec.MsgspecError as error:
        raise BadFrame(f"job input: {error}") from error
    if value.encode() != data:
        raise BadFrame("job input: not in canonical form (sorted keys, no white space)")
    return value
