"""One answer of a network: tensors, and what they say, once the replicas agree. There is nothing to stream."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ostraka.client.answer import Answer
from ostraka.client.reader import Box, Label, NetworkReader, Window
from ostraka.errors import UsageError

if TYPE_CHECKING:
    from ostraka.client.client import Client


class Inference(Answer):
    """`.outputs` are the network's; `.embeddings`, `.labels` and `.boxes` read them where its task has them.

    All raise what `result()` raises: `JobFailed` where the replicas did not agree, `HashMismatch` where the orchestrator shows
    something else than they agreed on, `BadManifest` where the publisher promised something else.
    """

    def __init__(
        self,
        client: Client,
        job_id: int,
        reader: NetworkReader,
        gas: dict[str, list[int]],
        deadline_s: float,
        window: Window | None = None,
    ) -> None:
        super().__init__(client, job_id, gas, deadline_s)
        self._reader = reader
        self._window = window or Window()
        self._outputs: dict[str, npt.NDArray[Any]] = {}

    def _words(self, shown: dict[str, Any]) -> bytes | None:
        try:
            words = base64.b64decode(shown.get("outputs") or "", validate=True)
        except (binascii.Error, ValueError, TypeError):
            return None
        return words if words and len(words) % 4 == 0 else None

    def _take(self, words: bytes) -> None:
        self._outputs = self._reader.outputs(words)

    @property
    def task(self) -> str:
        return self._reader.manifest.task

    @property
    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by the names in the manifest."""
        return self.result()._outputs

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """float32 [texts, numbers]. Raises `UsageError` for another task."""
        self._expect("embed")
        return self.outputs["embedding"]

    @property
    def labels(self) -> list[Label]:
        """Of the one text or picture, best first. Raises `UsageError` for another task."""
        return self.all_labels()[0]

    def all_labels(self, most: int = 5) -> list[list[Label]]:
        """For each text (or the one picture) the best `most`, best first."""
        self._expect("classify-text", "classify-image")
        return [self._reader.labels(row, most) for row in self.outputs["scores"]]

    @property
    def boxes(self) -> list[Box]:
        """What is in the picture, surest first. Raises `UsageError` for another task."""
        return self.all_boxes()

    def all_boxes(self, least: float = 0.3, most: int = 100) -> list[Box]:
        """Those with a score of at least `least`."""
        self._expect("detect")
        return self._reader.boxes(self.outputs, self._window, least, most)

    def described(self) -> dict[str, Any]:
        """The outputs in words, as JSON can hold them."""
        return self._reader.described(self.outputs, self._window)

    def _expect(self, *tasks: str) -> None:
        if self.task not in tasks:
            raise UsageError(f"model {self._reader.manifest.name}: its task is {self.task}, not {' or '.join(tasks)}")
