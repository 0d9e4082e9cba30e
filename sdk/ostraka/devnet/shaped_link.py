"""A slow link to a node: a TCP proxy that lets bytes through late, and no faster than so many a second.

Each direction is a queue of (when it may leave, bytes): bytes wait for the token bucket, then for the latency. So a long message takes
latency + size / rate, as on a real line, and messages behind each other do not add their latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass

PIECE_BYTES = (
    16 << 10
)  # read at once: small beside what a millisecond of a fast line carries, large beside a system call


@dataclass
class Line:
    """One direction. `free_at`: when all bytes taken so far have passed the bucket."""

    latency_s: float
    bytes_per_s: float
    free_at: float = 0.0

    def leaves_at(self, now: float, size: int) -> float:
        self.free_at = max(self.free_at, now) + size / self.bytes_per_s
        return self.free_at + self.latency_s


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

    async def deliver() -> None:
        while True:
            at, data = await waiting.get()
            if (pause := at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if not data:
                return
            writer.write(data)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    try:
        while data := await reader.read(PIECE_BYTES):
            await waiting.put((line.leaves_at(time.monotonic(), len(data)), data))
        await waiting.put((time.monotonic() + line.latency_s, b""))
        await delivering
    except (ConnectionError, OSError):
        pass
    finally:
        delivering.cancel()
        writer.close()


async def serve(
    listen: tuple[str, int], target: tuple[str, int], latency_s: float, bytes_per_s: float
) -> asyncio.Server:
    """All connections share the line, as all traffic of one house does."""
    inward, outward = Line(latency_s, bytes_per_s), Line(latency_s, bytes_per_s)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, back, inward), _carry(there, writer, outward))

    return await asyncio.start_server(connect, *listen)


def main() -> None:
    parser = argparse.ArgumentParser(description="A slow link to one address.")
    parser.add_argument("--listen", required=True, help="host:port")
    parser.add_argument("--target", required=True, help="host:port")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="one way")
    parser.add_argument("--mbit", type=float, default=1e6, help="Mbit/s, each way")
    given = parser.parse_args()

    async def run() -> None:
        (here, port), (there, there_port) = (text.rsplit(":", 1) for text in (given.listen, given.target))
        server = await serve((here, int(port)), (there, int(there_port)), given.latency_ms / 1e3, given.mbit * 1e6 / 8)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main()
