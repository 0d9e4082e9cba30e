"""UnixFS trees of any shape, written here a second time: chunks and fan-out are as small as a test likes."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator

from ostraka.errors import StoreUnavailable


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _text_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def cid_text(binary: bytes) -> str:
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def binary_cid(codec: int, block: bytes) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest()


def node(children: list[tuple[bytes, int]]) -> bytes:
    """An inner node over (binary CID, bytes of the file below)."""
    links = b"".join(
        _text_field(2, _text_field(1, cid) + _text_field(2, b"") + _number_field(3, size)) for cid, size in children
    )
    data = _number_field(1, 2) + _number_field(3, sum(size for _, size in children))
    data += b"".join(_number_field(4, size) for _, size in children)
    return links + _text_field(1, data)


def tree(data: bytes, chunk: int, width: int) -> tuple[str, dict[str, bytes]]:
    """Root CID, and every block by its CID."""
    blocks: dict[str, bytes] = {}

    def keep(codec: int, block: bytes) -> bytes:
        cid = binary_cid(codec, block)
        blocks[cid_text(cid)] = block
        return cid

    level = [(keep(0x55, data[at : at + chunk]), len(data[at : at + chunk])) for at in range(0, len(data) or 1, chunk)]
    while len(level) > 1:
        groups = [level[at : at + width] for at in range(0, len(level), width)]
        level = [(keep(0x70, node(group)), sum(size for _, size in group)) for group in groups]
    return cid_text(level[0][0]), blocks


class FakeSource:
    """Serves one file. `lie_at` is a place whose bytes come out wrong, `stop_at` where every stream ends, `fail_first` how many
    requests are refused. Remembers what it was asked."""

    def __init__(
        self,
        name: str,
        data: bytes,
        blocks: dict[str, bytes],
        lie_at: int = -1,
        stop_at: int = 1 << 60,
        fail_first: int = 0,
    ) -> None:
        self.name, self._data, self._blocks = name, data, blocks
        self._lie_at, self._stop_at, self._fail = lie_at, stop_at, fail_first
        self.reads: list[tuple[int, int]] = []
        self.sent = 0
        self._lock = threading.Lock()

    def _refuse(self) -> None:
        with self._lock:
            self._fail -= 1
            if self._fail >= 0:
                raise StoreUnavailable(f"store {self.name}: out of order")

    def block(self, cid: str) -> bytes:
        self._refuse()
        if cid not in self._blocks:
            raise StoreUnavailable(f"store {self.name}: HTTP 404")
        block = self._blocks[cid]
        return block if self._lie_at < 0 else block[:-1] + bytes([block[-1] ^ 1])

    def read(self, cid: str, offset: int, length: int) -> Iterator[bytes]:
        self._refuse()
        with self._lock:
            self.reads.append((offset, length))
        end = min(offset + length, len(self._data), self._stop_at)
        for at in range(offset, end, 7):
            piece = bytearray(self._data[at : min(at + 7, end)])
            if at <= self._lie_at < at + len(piece):
                piece[self._lie_at - at] ^= 1
            self.sent += len(piece)
            yield bytes(piece)
