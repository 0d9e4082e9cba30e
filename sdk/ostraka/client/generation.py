"""One answer of a language model: a stream of text that is provisional until the replicas agree, then the verified facts about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ostraka.client.answer import Answer
from ostraka.client.text import TextStream
from ostraka.crypto.trace import token_words
from ostraka.wire.sampling import GREEDY, Sampling

if TYPE_CHECKING:
    from ostraka.client.client import Client
    from ostraka.client.text import ModelText


class Generation(Answer):
    """Iterate for pieces of text; after that `.text` and everything else is final.

    Tokens are shown as soon as one replica has made them. Should the others outvote it, iteration ends with what was shown,
    `.corrected` is true and `.text` is the agreed answer.
    """

    _what = "tokens"

    def __init__(
        self,
        client: Client,
        job_id: int,
        text: ModelText,
        gas: dict[str, list[int]],
        deadline_s: float,
        sampling: Sampling = GREEDY,
    ) -> None:
        super().__init__(client, job_id, gas, deadline_s)
        self.sampling = sampling
        self._text = text
        self._streamed: list[int] = []
        self._tokens: list[int] = []

    def _words(self, shown: dict[str, Any]) -> bytes | None:
        return token_words(shown["tokens"]) if shown.get("tokens") else None

    def _seen(self) -> bytes | None:
        return token_words(self._streamed) if self._streamed else None

    def _take(self, words: bytes) -> None:
        self._tokens = [int.from_bytes(words[at : at + 4], "little") for at in range(0, len(words), 4)]

    # ── while it runs ──

    def __iter__(self) -> Iterator[str]:
        stream = TextStream(self._text)
        for event in self._client.orchestrators.events(self.job_id, self._deadline):
            if event["type"] == "token":
                # Should the first primary die, its successor starts over: only what is new is shown.
                if event["index"] == len(self._streamed):
                    self._streamed.append(event["token"])
                    if piece := stream.push(event["token"]):
                        yield piece
            elif event["type"] in ("committed", "closed"):
                break
        if piece := stream.flush():
            yield piece
        self.result()

    # ── afterwards ──

    @property
    def seed(self) -> int | None:
        """What repeats this answer; None when it was greedy and needed no seed."""
        return None if self.sampling.is_greedy else self.sampling.seed

    @property
    def tokens(self) -> list[int]:
        return self.result()._tokens

    @property
    def text(self) -> str:
        return self._text.decode(self.tokens)

    @property
    def corrected(self) -> bool:
        """Whether the replicas outvoted what was streamed."""
        tokens = self.tokens
        return bool(self._streamed) and self._streamed != tokens
