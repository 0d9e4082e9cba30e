"""A blockstore in a folder: one file a CID. The embedded default, and every node's cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ostraka.errors import StoreUnavailable
from ostraka.store.base import Progress, read_verified
from ostraka.store.cid import CidHasher, parse_cid

_PIECE = 1 << 20


class LocalStore:
    """Files are written under a temporary name and renamed, so a reader never sees half a block."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, cid: str) -> Path:
        """Raises `ValueError` when `cid` is none: it comes from peers and must not name a file elsewhere."""
        parse_cid(cid)
        return self.root / cid[-2:] / cid

    def put(self, data: bytes | Path) -> str:
        hasher = CidHasher()
        name = ""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.root, prefix=".put-")
            with os.fdopen(handle, "wb") as out:
                if isinstance(data, Path):
                    with data.open("rb") as source:
                        while piece := source.read(_PIECE):
                            hasher.update(piece)
                            out.write(piece)
                else:
                    hasher.update(data)
                    out.write(data)
            target = self.path(hasher.cid)
            target.parent.mkdir(exist_ok=True)
            os.replace(name, target)
        except OSError as error:
            if name:
                Path(name).unlink(missing_ok=True)
            raise StoreUnavailable(
                f"store {self.root}: cannot write ({error.strerror}); free some space or name another folder"
            ) from error
        return hasher.cid

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        path = self.path(cid)
        try:
            with path.open("rb") as source:
                pieces = iter(lambda: source.read(_PIECE), b"")
                return read_verified(pieces, cid, f"the store at {self.root}", max_bytes, progress)
        except FileNotFoundError:
            raise StoreUnavailable(f"cid {cid} is not in the store at {self.root}") from None
        except OSError as error:
            raise StoreUnavailable(f"store {self.root}: cannot read {cid} ({error.strerror})") from error

    def has(self, cid: str) -> bool:
        return self.path(cid).is_file()
