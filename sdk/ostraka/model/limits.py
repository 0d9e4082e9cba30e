"""Upper limits and simple formats of manifest fields: a stranger's manifest must not make a node allocate the moon."""

from __future__ import annotations

import re

from ostraka.errors import BadManifest

# Each is far above any model that exact arithmetic expresses today, and small enough that products fit 63 bits.
LIMITS: dict[str, int] = {
    "hidden": 1 << 16,  # a channel is written as uint16 on the wire
    "layers": 1022,
    "heads": 1024,
    "kv_heads": 1024,
    "head_dim": 256,  # Q·K of int8 rows stays below 2^24, exact in fp32: 127 · 127 · 256 < 2^22
    "ffn": 1 << 17,  # as heads · head_dim: the int8 product of one row stays below 2^31: 127 · 127 · 2^17
    "vocab": 1 << 22,
    "context": 1 << 16,  # the fixed-point P·V of one row stays below 2^24
}

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?")
_CID = re.compile(r"b[a-z2-7]{10,100}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_limit(field: str, value: int, limit: int) -> None:
    if not 1 <= value <= limit:
        raise BadManifest(f"{field}: {value} must be 1 to {limit}")


def check_decimal(field: str, value: str) -> None:
    if not _DECIMAL.fullmatch(value) or not float(value) > 0:
        raise BadManifest(f'{field}: {value!r} is no positive decimal number; write it as a string such as "1e-05"')


def check_cid(field: str, value: str) -> None:
    """The form only: the store decides whether it is a CID."""
    if not _CID.fullmatch(value):
        raise BadManifest(f"{field}: {value!r} is no CID in base32 (it starts with b)")


def check_digest(field: str, value: str) -> None:
    if not _DIGEST.fullmatch(value):
        raise BadManifest(f"{field}: {value!r} is no sha256 in hex (64 characters 0-9 a-f)")
