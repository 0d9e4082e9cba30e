"""How much of a model this node can hold: measured at its start, not declared.

What is free is the least of what the machine has and of what each control group above this process has left (a container's limit is
one). KV caches and the process itself need some of it, a share is left to the machine, and a kernel may keep a weight in more than one
byte. An operator's `--memory-mb` only makes it less.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from ostraka.errors import ConfigError
from ostraka_worker.kernels.gemm import Kernel

log = logging.getLogger("ostraka.node")
SHARE = 0.8  # of what is left: other programs grow too, and a machine without free memory stands still
PROCESS_BYTES = 256 << 20  # activations, files on their way, a disputed block that is recomputed beside the node's own

# Files of a control group: its limit, what it uses, and the line of memory.stat with what of that can be given back at once.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_bytes(root: Path = Path("/")) -> int:
    """What this process can still take before it meets the machine's memory or a control group's limit. `root` is for tests."""
    return max(min([int(psutil.virtual_memory().available), *_left_in_groups(root)]), 0)


def offered_bytes(kernel: Kernel, kv_bytes: int, cap: int | None = None, root: Path = Path("/")) -> int:
    """Bytes of block files that this node may hold, `cap` at most; logs in one line what it comes from.

    Raises `ConfigError` where nothing is left.
    """
    free = free_bytes(root)
    room = (free - kv_bytes - PROCESS_BYTES) * SHARE / kernel.ram_per_weight
    device = kernel.device_room()
    measured = int(room if device is None else min(room, device * SHARE))
    if measured <= 0:
        where = f"{free / 1e6:.0f} MB of RAM" + (
            "" if device is None else f" and room for {device / 1e6:.0f} MB on the GPU"
        )
        raise ConfigError(
            f"memory: {where} are free, of which KV caches may take {kv_bytes / 1e6:.0f} MB and the process {PROCESS_BYTES / 1e6:.0f}: "
            "nothing is left for blocks. Free some, or lower --kv-mb"
        )
    if cap is None or cap == measured:
        said = "measured"
    elif cap < measured:
        said = f"--memory-mb {cap / 1e6:.0f}; {measured / 1e6:.0f} would fit"
    else:
        said = f"--memory-mb {cap / 1e6:.0f} is cut down: no more fits"
    offered = measured if cap is None else min(cap, measured)
    log.info("memory: %.0f MB for blocks (%s; %.0f MB free)", offered / 1e6, said, free / 1e6)
    return offered


def _left_in_groups(root: Path) -> Iterator[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        mounts = ["memory"] if "memory" in kinds.split(",") else ["", "unified"] if not kinds else []
        for mount in mounts:
            # The mount's root too: a container may see its own group there, and elsewhere the path that the host knows it by.
            inner = PurePosixPath(path.lstrip("/"))
            for group in (inner, *inner.parents):
                left = _left(root / "sys/fs/cgroup" / mount / group, _V1 if mount == "memory" else _V2)
                if left is not None:
                    yield left


def _left(folder: Path, names: tuple[str, str, str]) -> int | None:
    """None where there is no such group or it has no limit."""
    limit, usage, reclaimable = names
    try:
        most = int((folder / limit).read_text())  # "max" is no number
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return most - used + int(stat.get(reclaimable, 0))
    except (OSError, ValueError):
        return None
