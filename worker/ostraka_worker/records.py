"""What a node must not forget: commitments it has to reveal, and traces it may be asked for. One folder a replica.

Written and flushed before the commit is sent: a node that loses its salt cannot reveal, and loses its job lock.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np

from ostraka.crypto.trace import Digests


class Record(msgspec.Struct, frozen=True):
    """One replica this node took part in. `lead` is whether it must commit and reveal."""

    job_id: int
    replica: int
    lead: bool
    tokens: list[int]
    units: int
    output: bytes
    trace_root: bytes
    salt: bytes
    revealed: bool = False
    terms: bytes = b""  # the job's, as every stage got them


class Ballot(msgspec.Struct, frozen=True):
    """A juror's vote before it is revealed. Without it the bond is lost."""

    dispute_id: int
    round: int
    seat: int
    vote: int
    salt: bytes
    commitment: bytes


class Records:
    def __init__(self, root: Path) -> None:
        self._root = root

    def _folder(self, job_id: int, replica: int) -> Path:
        return self._root / f"{job_id}-{replica}"

    def save(self, record: Record, digests: Digests | None = None, values: bytes = b"") -> None:
        """`values` are what went into this node's stage, where the job is an inference: a disputed one cannot be recomputed without."""
        folder = self._folder(record.job_id, record.replica)
        folder.mkdir(parents=True, exist_ok=True)
        if digests is not None:
            np.save(folder / "digests.npy", digests, allow_pickle=False)
        if values:
            _write(folder / "values", values)
        _write(folder / "record", msgspec.msgpack.encode(record))

    def load(self, job_id: int, replica: int) -> Record | None:
        try:
            return msgspec.msgpack.decode((self._folder(job_id, replica) / "record").read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            return None

    def digests(self, job_id: int, replica: int) -> Digests | None:
        try:
            found: Digests = np.load(self._folder(job_id, replica) / "digests.npy", allow_pickle=False)
            return found
        except (OSError, ValueError):
            return None

    def values(self, job_id: int, replica: int) -> bytes | None:
        try:
            return (self._folder(job_id, replica) / "values").read_bytes()
        except OSError:
            return None

    # ── before the court ──

    def _court(self, name: str) -> Path:
        return self._root / "court" / name

    def save_ballot(self, ballot: Ballot) -> None:
        path = self._court(f"ballot-{ballot.dispute_id}-{ballot.round}-{ballot.seat}")
        _write(path, msgspec.msgpack.encode(ballot))

    def ballot(self, dispute: int, number: int, seat: int) -> Ballot | None:
        try:
            return msgspec.msgpack.decode(self._court(f"ballot-{dispute}-{number}-{seat}").read_bytes(), type=Ballot)
        except (OSError, msgspec.MsgspecError):
            return None

    def save_products(self, dispute: int, side: int, message: bytes) -> None:
        """What was posted for an accused stage, as the message that shows it to whoever asks."""
        _write(self._court(f"products-{dispute}-{side}"), message)

    def products(self, dispute: int, side: int) -> bytes | None:
        try:
            return self._court(f"products-{dispute}-{side}").read_bytes()
        except OSError:
            return None

    def unrevealed(self) -> list[Record]:
        """Commitments that still have to be opened, for a node that was restarted."""
        found = []
        for folder in sorted(self._root.glob("[0-9]*-[0-9]*")) if self._root.is_dir() else []:
            job, _, replica = folder.name.partition("-")
            record = self.load(int(job), int(replica))
            if record and record.lead and not record.revealed:
                found.append(record)
        return found


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, and on disk before it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)
