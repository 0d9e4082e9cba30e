"""The state after some chain block, on disk, so that a restart reads the events since then and not since the deployment.

It saves time and nothing else: a snapshot that is missing, torn, of other code or another network, or of a chain block that the chain
has no more, is left alone, and all is replayed. Only chain blocks that no reorganization reaches any more get into one.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from immutables import Map

from ostraka.chain import Deployment
from ostraka.crypto.canonical import canonical_json
from ostraka_orchestrator import state as module
from ostraka_orchestrator.follow import Follower, Mark
from ostraka_orchestrator.state import State

log = logging.getLogger("ostraka.orchestrator")


@dataclass(frozen=True)
class _File:
    """`code`: what `state` knew and understood when this was written; `network`: whose events these are."""

    code: bytes
    network: bytes
    mark: Mark


@dataclass
class Keeper:
    """Keeps a follower's state in the file at `path`, at most once in `every_s`; with no path it does nothing."""

    path: Path | None
    every_s: float
    deployment: Deployment
    follower: Follower
    _kept: int = 0  # the chain block of the newest snapshot
    _again_at: float = 0.0

    def resume(self) -> None:
        """Has the follower begin where the snapshot ends, if there is one that this chain bears out. Raises `ChainUnreachable`."""
        if self.path is None or (mark := load(self.path, self.deployment)) is None:
            return
        if self.follower.resume(mark):
            self._kept = mark.number
            log.info("snapshot %s: resuming after chain block %d", self.path, mark.number)
        else:
            log.warning("snapshot %s: the chain has another block %d; replaying all events", self.path, mark.number)

    def keep(self, now: float) -> None:
        """`now` is a monotonic clock's."""
        mark = self.follower.settled()
        if self.path is None or mark is None or mark.number == self._kept or now < self._again_at:
            return
        self._again_at = now + self.every_s
        try:
            save(self.path, self.deployment, mark)
            self._kept = mark.number
        except OSError as error:
            log.warning("snapshot %s: %s; the next restart replays more", self.path, error)


def save(path: Path, deployment: Deployment, mark: Mark) -> None:
    """Writes the file whole or not at all. Raises `OSError`."""
    data = msgspec.msgpack.encode(_File(_code(), _network(deployment), mark), enc_hook=dict)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as out:
        out.write(sha256(data).digest() + data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


def load(path: Path, deployment: Deployment) -> Mark | None:
    """What `save` wrote for this network with this code; None, with a word in the log, for anything else."""
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("snapshot %s: %s; replaying all events", path, error)
        return None
    check, data = written[:32], written[32:]
    if sha256(data).digest() != check:
        log.warning("snapshot %s: damaged; replaying all events", path)
        return None
    try:
        file = msgspec.msgpack.decode(data, type=_File, dec_hook=_read_map)
    except msgspec.ValidationError:
        file = None
    if file is None or file.code != _code() or file.network != _network(deployment):
        log.warning("snapshot %s: of another version or network; replaying all events", path)
        return None
    return file.mark


def _read_map(kind: Any, value: Any) -> Map[Any, Any]:
    """`Map[K, V]` is written as a dictionary."""
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=_read_map))  # type: ignore[misc]


def _code() -> bytes:
    """Changes when a field or a handler of `state` does: an older snapshot would lack what these have learnt from events."""
    shapes = [
        [kind.__name__, *(f"{f.name}: {get_type_hints(kind)[f.name]}" for f in fields(kind))]
        for kind in (State, module.NodeEntry, module.ModelEntry, module.JobEntry)
    ]
    return sha256(canonical_json([shapes, sorted(kind.__name__ for kind in module._HANDLERS)])).digest()


def _network(deployment: Deployment) -> bytes:
    return sha256(canonical_json(msgspec.to_builtins(deployment))).digest()
