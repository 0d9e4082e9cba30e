"""Driving one replica of a generation: prefill, decode, and checking another replica's tokens by prefill.

This file knows no network, no clock and no torch. It is given two calls into the route, `forward` and `truncate`, and yields
tokens as they become certain. `forward(position, tokens, sample_from)` feeds tokens and returns the tokens sampled at positions
from `sample_from` on, and the digests of all borders, uint8 [count, B+1, 32].
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ostraka.crypto.trace import Digests
from ostraka.wire.job_input import JobInput

PREFILL_CHUNK = 256  # positions a step: bounds memory, and lets the next stage start before the whole prompt is through

Forward = Callable[[int, Sequence[int], int], Awaitable[tuple[list[int], Digests]]]
TruncateCall = Callable[[int], Awaitable[None]]


@dataclass
class DigestLog:
    """Digests of the positions so far; can be cut back."""

    _parts: list[Digests] = field(default_factory=list)
    length: int = 0

    def append(self, digests: Digests) -> None:
        self._parts.append(digests)
        self.length += len(digests)

    def truncate(self, length: int) -> None:
        if length < self.length:
            self._parts = [self.array()[:length]]
            self.length = length

    def array(self) -> Digests:
        """uint8 [length, borders, 32]. Raises `ValueError` while nothing was logged."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


class Drive:
    """One replica's run. After iteration ends, `tokens` and `digests` are its result."""

    def __init__(self, forward: Forward, truncate: TruncateCall, job: JobInput, claimed: Sequence[int] | None) -> None:
        self._forward = forward
        self._truncate = truncate
        self._job = job
        self._claimed = self._trim(claimed or ())
        self._log = DigestLog()
        self.tokens: list[int] = []
        self.outputs = b""  # for what has tokens, none
        self.agreed = 0  # how many claimed tokens the model confirmed

    def _trim(self, claimed: Sequence[int]) -> list[int]:
        """What of a claim could be an answer at all: nothing past the limit, nothing after a stop token."""
        kept: list[int] = []
        for token in claimed[: self._job.max_tokens]:
            kept.append(token)
            if token in self._job.stop:
                break
        return kept

    @property
    def digests(self) -> Digests:
        return self._log.array()

    def _finished(self) -> bool:
        return len(self.tokens) >= self._job.max_tokens or (bool(self.tokens) and self.tokens[-1] in self._job.stop)

    async def run(self) -> AsyncIterator[tuple[int, int]]:
        """Yields (index, token) of the answer, in order."""
        for token in await self._prefill():
            self.tokens.append(token)
            yield len(self.tokens) - 1, token
        while not self._finished():
            sampled, digests = await self._forward(self._log.length, self.tokens[-1:], self._log.length)
            self._log.append(digests)
            self.tokens.append(sampled[0])
            yield len(self.tokens) - 1, sampled[0]

    async def _prefill(self) -> list[int]:
        """Feeds the prompt, and the claim behind it; returns the tokens that the model itself gives.

        With a claim, position `first + i` samples what token `i` should be. The first token that differs is replaced by the
        model's own, and everything after it is forgotten: it was computed on a false history.
        """
        prompt = self._job.prompt
        first = len(prompt) - 1
        fed = [*prompt, *self._claimed[:-1]]
        sampled: list[int] = []
        for start in range(0, len(fed), PREFILL_CHUNK):
            got, digests = await self._forward(start, fed[start : start + PREFILL_CHUNK], first)
            self._log.append(digests)
            sampled += got
        wrong = next((i for i, token in enumerate(self._claimed) if token != sampled[i]), None)
        self.agreed = len(self._claimed) if wrong is None else wrong
        if wrong is not None and first + wrong + 1 < self._log.length:
            await self._truncate(first + wrong + 1)
            self._log.truncate(first + wrong + 1)
        kept = sampled if wrong is None else sampled[: wrong + 1]
        return kept[: self._job.max_tokens]


class RunOnce:
    """An inference: one position, no tokens. After iteration ends, `outputs` and `digests` are its result."""

    def __init__(self, infer: Callable[[bytes], Awaitable[tuple[bytes, Digests]]], packed: bytes) -> None:
        self._infer = infer
        self._packed = packed
        self._log = DigestLog()
        self.tokens: list[int] = []
        self.outputs = b""

    @property
    def digests(self) -> Digests:
        return self._log.array()

    async def run(self) -> AsyncIterator[tuple[int, int]]:
        """Yields nothing: there is no part of an answer before the answer."""
        self.outputs, digests = await self._infer(self._packed)
        self._log.append(digests)
        for nothing in self.tokens:
            yield 0, nothing
