"""The job input: what is computed, as canonical bytes (docs/protocol.md §2).

The input's digest covers its *terms*: the same fields with the prompt's digest and length in place of the prompt. So every stage can
check the terms it works under (above all, how the head samples) against the digest on chain, and only the lead sees the prompt.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ostraka.crypto.canonical import canonical_json, sha256
from ostraka.errors import BadFrame, PromptTooLong, UsageError
from ostraka.model import AnyManifest, language_model
from ostraka.types import Digest
from ostraka.wire.sampling import GREEDY, Sampling
from ostraka.wire.tensor_input import TensorInput, TensorTerms

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

    def check_for(self, manifest: AnyManifest, most: int) -> None:
        """`check` for a model that serves at most so many positions. Raises `UsageError` where it generates no text."""
        arch = language_model(manifest).arch
        self.check(arch.vocab, min(arch.context, most))

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

    def check_for(self, manifest: AnyManifest, most: int) -> None:
        """`check` for a model that serves at most so many positions. Raises `UsageError` where it generates no text."""
        arch = language_model(manifest).arch
        self.check(arch.vocab, min(arch.context, most))

    def check(self, vocab: int, context: int) -> None:
        """Raises `UsageError` or `PromptTooLong`, naming the field."""
        outside = next((t for t in self.prompt if not 0 <= t < vocab), None)
        if outside is not None:
            raise UsageError(f"prompt: token {outside} is outside the vocabulary of {vocab}")
        self.terms.check(vocab, context)


AnyInput = JobInput | TensorInput
AnyTerms = JobTerms | TensorTerms


class _Kind(msgspec.Struct):
    """As much of any input or terms as tells which of them they are."""

    kind: str


I = TypeVar("I", JobInput, JobTerms, TensorInput, TensorTerms)  # noqa: E741


def decode_input(data: bytes) -> AnyInput:
    """Raises `BadFrame` unless `data` is a job input in canonical form."""
    tensors = _kind("job input", data, MAX_INPUT_BYTES) != "generate"
    return _decode("job input", data, TensorInput) if tensors else _decode("job input", data, JobInput)


def decode_terms(data: bytes) -> AnyTerms:
    """Raises `BadFrame` unless `data` are a job's terms in canonical form."""
    tensors = _kind("job terms", data, MAX_TERMS_BYTES) != "generate"
    return _decode("job terms", data, TensorTerms) if tensors else _decode("job terms", data, JobTerms)


def _kind(what: str, data: bytes, most: int) -> str:
    if len(data) > most:
        raise BadFrame(f"{what}: {len(data)} bytes, at most {most} are read")
    try:
        return msgspec.json.decode(data, type=_Kind).kind
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFrame(f"{what}: {error}") from error


def _decode(what: str, data: bytes, kind: type[I]) -> I:
    try:
        value = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFrame(f"{what}: {error}") from error
    if value.encode() != data:
        raise BadFrame(f"{what}: not in canonical form (sorted keys, no white space)")
    return value
