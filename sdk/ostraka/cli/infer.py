"""What `ostraka job submit` and `ostraka run local` have in common where the model is a network: reading options, showing outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostraka.errors import UsageError

if TYPE_CHECKING:
    from ostraka.client import Inference
    from ostraka.client.client import Client
    from ostraka.client.reader import NetworkReader, Window

TextOption = Annotated[
    list[str] | None, typer.Option("--text", help="A text to embed or classify; may be given several times.")
]
ImageOption = Annotated[Path | None, typer.Option("--image", help="A picture to classify or to find things in.")]


def read_inputs(
    reader: NetworkReader, texts: Sequence[str] | None, image: Path | None
) -> tuple[Mapping[str, Any], Window | None]:
    """Raises `UsageError` naming the option that the network's task needs."""
    manifest = reader.manifest
    if manifest.text is not None:
        if not texts or image is not None:
            raise UsageError(f"--text: model {manifest.name} does {manifest.task}; give texts, and no --image")
        return reader.texts(texts), None
    if manifest.image is not None:
        if image is None or texts:
            raise UsageError(f"--image: model {manifest.name} does {manifest.task}; give a picture, and no text")
        return reader.picture(image)
    raise UsageError(f"model {manifest.name}: takes tensors; use `Client.run` from Python")


def submit_inference(
    client: Client, model: str, texts: Sequence[str] | None, image: Path | None, **options: Any
) -> Inference:
    """Raises what `Client.run` raises."""
    info, reader = client._network(model)
    values, window = read_inputs(reader, texts, image)
    return client._infer(info, reader, values, window, **options)


def lines_of(description: Mapping[str, Any]) -> list[str]:
    """For people."""
    lines = []
    for row in description.get("embeddings", ()):
        lines.append(f"{len(row)} numbers: " + ", ".join(f"{n:.4f}" for n in row[:6]) + ", …")
    for row in description.get("labels", ()):
        lines.append(", ".join(f"{entry['label']} {entry['score']:.1%}" for entry in row))
    for entry in description.get("boxes", ()):
        left, top, right, bottom = entry["box"]
        lines.append(f"{entry['label']} {entry['score']:.1%} at {left:.0f}, {top:.0f} – {right:.0f}, {bottom:.0f}")
    if "boxes" in description and not lines:
        lines.append("nothing found")
    lines += [f"{name}: {shape}" for name, shape in description.get("outputs", {}).items()]
    return lines
