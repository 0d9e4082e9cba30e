"""The client's calls to networks: embed, classify, detect, and anything else by tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy.typing as npt

from ostraka.client.inference import Inference
from ostraka.client.reader import NetworkReader, Picture, Window
from ostraka.errors import UsageError
from ostraka.model import network

if TYPE_CHECKING:
    from ostraka.client.client import Client, ModelInfo


class Networks:
    """Part of `Client`. Every call takes `replicas` (3), `max_price` in OSTR (the job's price) and `deadline_s` (120), as `generate`
    does, and raises as it does; all return at once, and the `Inference` waits when it is asked."""

    _readers: dict[bytes, NetworkReader]

    def embed(self, model: str, texts: str | Sequence[str], **options: Any) -> Inference:
        """Embeddings of one or several texts: `.embeddings`, float32 [texts, numbers]."""
        info, reader = self._network(model, "embed")
        return self._infer(info, reader, reader.texts([texts] if isinstance(texts, str) else texts), **options)

    def classify(self, model: str, what: str | Sequence[str] | Picture, **options: Any) -> Inference:
        """Classes of texts, or of a picture (a path, bytes, uint8 [height, width, 3] or a Pillow image): `.labels`, best first."""
        info, reader = self._network(model, "classify-text", "classify-image")
        if reader.manifest.text is not None:
            texts = [what] if isinstance(what, str) else what
            if isinstance(texts, bytes | Path) or not all(isinstance(text, str) for text in texts):
                raise UsageError(f"model {info.name}: classifies texts; give a string or a list of them")
            return self._infer(info, reader, reader.texts(texts), **options)
        values, window = reader.picture(what)
        return self._infer(info, reader, values, window, **options)

    def detect(self, model: str, picture: Picture, **options: Any) -> Inference:
        """What is where in a picture: `.boxes`, surest first, in the picture's own pixels."""
        info, reader = self._network(model, "detect")
        values, window = reader.picture(picture)
        return self._infer(info, reader, values, window, **options)

    def run(self, model: str, inputs: Mapping[str, npt.NDArray[Any]], **options: Any) -> Inference:
        """Any network, with arrays by the names in its manifest: `.outputs`."""
        info, reader = self._network(model)
        return self._infer(info, reader, inputs, **options)

    def _network(self, model: str, *tasks: str) -> tuple[ModelInfo, NetworkReader]:
        client = cast("Client", self)
        info = client.find_model(model)
        manifest = network(client.manifest(info))
        if tasks and manifest.task not in tasks:
            raise UsageError(f"model {info.name}: its task is {manifest.task}, not {' or '.join(tasks)}")
        if info.model_id not in self._readers:
            self._readers[info.model_id] = NetworkReader.fetch(manifest, client.store)
        return info, self._readers[info.model_id]

    def _infer(
        self,
        info: ModelInfo,
        reader: NetworkReader,
        values: Mapping[str, npt.NDArray[Any]],
        window: Window | None = None,
        *,
        replicas: int = 3,
        max_price: float | None = None,
        deadline_s: float = 120.0,
    ) -> Inference:
        client, job = cast("Client", self), reader.job(values)
        job_id, gas = client._submit(info, job, replicas, max_price, deadline_s)
        return Inference(client, job_id, reader, gas, deadline_s, window)
