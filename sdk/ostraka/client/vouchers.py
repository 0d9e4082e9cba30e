"""Vouchers as their receiver keeps them: the newest of each payer and collection, one file each, readable by their owner."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ostraka.crypto.eip712 import Voucher
from ostraka.errors import ConfigError
from ostraka.types import Address


class KeptVoucher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Amounts are wei in decimals. `spent` is what the payer has had for it so far."""

    payer: str
    receiver: str
    collection: str  # hex
    amount: str = "0"
    signature: str = ""  # hex; empty before the first voucher
    spent: str = "0"

    @property
    def voucher(self) -> Voucher:
        return Voucher(Address(self.payer), Address(self.receiver), bytes.fromhex(self.collection), int(self.amount))


def voucher_file(folder: Path, payer: str, collection: bytes) -> Path:
    name = hashlib.sha256(payer.lower().encode() + collection).hexdigest()[:32]
    return folder / f"{name}.json"


def save_voucher(folder: Path, kept: KeptVoucher) -> None:
    """On disk before it returns: nothing is given for a voucher that could be lost."""
    path = voucher_file(folder, kept.payer, bytes.fromhex(kept.collection))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


def load_voucher(path: Path) -> KeptVoucher | None:
    """None where there is none. Raises `ConfigError` naming a file that is none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptVoucher)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"voucher {path}: {error}; restore the file, or move it away to start anew") from error


def kept_vouchers(folder: Path) -> Iterator[KeptVoucher]:
    """All that a node has been given, in the order of their files' names."""
    for path in sorted(folder.glob("*.json")):
        if (kept := load_voucher(path)) is not None and kept.signature:
            yield kept
