"""The job input of a network that is no language model: packed values (docs/protocol.md §2). One inference, hence one position."""

from __future__ import annotations

import msgspec

from ostraka.codec.values import unpack_values
from ostraka.crypto.canonical import canonical_json, sha256
from ostraka.errors import BadFrame, UsageError
from ostraka.model import AnyManifest, check_values, network
from ostraka.model.schema import MAX_PACKED_BYTES
from ostraka.types import Digest
from ostraka.wire.sampling import GREEDY, Sampling


class TensorTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job input without its values. `inputs_sha256` is the digest of border 0, so every stage can hold the lead to it."""

    inputs_bytes: int
    inputs_sha256: str  # hex, of the packed values
    kind: str  # the model's task
    version: int = 1

    def encode(self) -> bytes:
        return canonical_json(msgspec.to_builtins(self))

    @property
    def digest(self) -> Digest:
        return sha256(self.encode())

    @property
    def max_units(self) -> int:
        return 1

    @property
    def sampling(self) -> Sampling:
        return GREEDY  # nothing is drawn

    def check_for(self, manifest: AnyManifest, most: int) -> None:
        """Raises `UsageError` naming the field. `most` positions are served: one is always enough."""
        graph = network(manifest)
        if self.kind != graph.task or self.version != 1:
            raise UsageError(
                f"kind: {self.kind!r} version {self.version}; the task of {graph.name} is {graph.task!r}, version 1"
            )
        allowed = graph.most_bytes_at(0)
        if not 0 < self.inputs_bytes <= allowed:
            raise UsageError(f"inputs: {self.inputs_bytes} bytes; {graph.name} takes 1 to {allowed}")


class TensorInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`inputs` are packed values, in base64 where this is JSON."""

    inputs: bytes
    kind: str
    version: int = 1

    def encode(self) -> bytes:
        return canonical_json(msgspec.to_builtins(self))

    @property
    def terms(self) -> TensorTerms:
        return TensorTerms(len(self.inputs), sha256(self.inputs).hex(), self.kind, self.version)

    @property
    def digest(self) -> Digest:
        return self.terms.digest

    @property
    def max_units(self) -> int:
        return 1

    def check_for(self, manifest: AnyManifest, most: int) -> None:
        """Raises `UsageError` naming tensor, value and what the manifest allows."""
        self.terms.check_for(manifest, most)
        arch = network(manifest).arch
        try:
            values = unpack_values(self.inputs, MAX_PACKED_BYTES)
        except BadFrame as error:
            raise UsageError(f"inputs: {error}") from error
        check_values("input", arch.inputs, values, arch.dims)
