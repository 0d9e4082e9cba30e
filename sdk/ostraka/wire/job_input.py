"""The job input: what is computed, as canonical bytes (docs/protocol.md §2).

The input's digest covers its *terms*: the same fields with the prompt's digest and length in place of the prompt. So every stage can
check the terms it works under (above all, how the head samples) against the digest on chain, and only the lead sees the prompt.
"""

from __future__ import annotations

import msgspec

from ostraka.crypto.canonical import canonical_json, sha256
from ostraka.errors import BadFrame, PromptTooLong, UsageError
from ostraka.types import Digest
from ostraka.wire.sampling import GREEDY, Sampling

MAX_INPUT_BYTES = 4 << 20
MAX_TERMS_BYTES = 1 << 16
MAX_STOP = 64


class JobTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job input without its prompt."""

    prompt_sha256: str  # hex, of the tokens as u32le
    prompt_tokens: int
    max_tokens: int
    stop: list[int]
    sampling: Sampling = GREEDY
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
        return self.prompt_tokens + self.max_tokens - 1

    def check(self, vocab: int, context: int) -> None:
        """Raises `UsageError` or `PromptTooLong`, naming the field."""
        if self.kind != "generate" or self.version != 1:
            raise UsageError(f"kind: {self.kind!r} version {self.version} is not served; use 'generate' version 1")
        self.sampling.check(vocab)
        if self.prompt_tokens < 1:
            raise UsageError("prompt: empty; give at least one token")
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens: {self.max_tokens}; ask for at least 1")
        if len(self.stop) > MAX_STOP:
            raise UsageError(f"stop: {len(self.stop)} tokens; give at most {MAX_STOP}")
        if self.max_units > context:
            raise PromptTooLong(
                f"prompt: {self.prompt_tokens} tokens and max_tokens {self.max_tokens} need {self.max_units} positions, "
                f"the model's context has {context}; shorten the prompt or lower max_tokens"
            )


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prompt: list[int]
    max_tokens: int
    stop: list[int]
    sampling: Sampling = GREEDY
    kind: str = "generate"
    version: int = 1

    def encode(self) -> bytes:
        return canonical_json(msgspec.to_builtins(self))

    @property
    def terms(self) -> JobTerms:
        """Raises `UsageError` for a token that is no u32."""
        try:
            tokens = b"".join(token.to_bytes(4, "little") for token in self.prompt)
        except OverflowError:
            raise UsageError("prompt: a token is negative or above 32 bits, outside every vocabulary") from None
        return JobTerms(
            prompt_sha256=sha256(tokens).hex(),
            prompt_tokens=len(self.prompt),
            max_tokens=self.max_tokens,
            stop=self.stop,
            sampling=self.sampling,
            kind=self.kind,
            version=self.version,
        )

    @property
    def digest(self) -> Digest:
        return self.terms.digest

    @property
    def max_units(self) -> int:
        """Most positions this job can take: the last token is never fed back."""
        return len(self.prompt) + self.max_tokens - 1

    def check(self, vocab: int, context: int) -> None:
        """Raises `UsageError` or `PromptTooLong`, naming the field."""
        outside = next((t for t in self.prompt if not 0 <= t < vocab), None)
        if outside is not None:
            raise UsageError(f"prompt: token {outside} is outside the vocabulary of {vocab}")
        self.terms.check(vocab, context)


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


def decode_terms(data: bytes) -> JobTerms:
    """Raises `BadFrame` unless `data` are a job's terms in canonical form."""
    if len(data) > MAX_TERMS_BYTES:
        raise BadFrame(f"job terms: {len(data)} bytes, at most {MAX_TERMS_BYTES} are read")
    try:
        value = msgspec.json.decode(data, type=JobTerms)
    except msgspec.MsgspecError as error:
        raise BadFrame(f"job terms: {error}") from error
    if value.encode() != data:
        raise BadFrame("job terms: not in canonical form (sorted keys, no white space)")
    return value
