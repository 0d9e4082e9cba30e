"""What a node offers to hold is what is there, not what it is told."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import psutil
import pytest

from ostraka.errors import ConfigError
from ostraka_worker.kernels.gemm import Fp32Kernel, Int8Kernel
from ostraka_worker.memory import PROCESS_BYTES, SHARE, free_bytes, offered_bytes

MB = 10**6
KV = 100 * MB
MACHINE = 4000 * MB
INT8, FP32 = Int8Kernel(), Fp32Kernel()


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))


def group(root, path, own, **files):
    """A control group below `root`; `own` are the lines of /proc/self/cgroup."""
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(own)
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def v2(root, path, limit, usage=0, cache=0, own="0::/a/b\n"):
    group(root, path, own, memory__max=limit, memory__current=usage, memory__stat=f"anon 5\ninactive_file {cache}")


def v1(root, path, limit, usage=0, cache=0):
    own = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n"
    files = {"memory__limit_in_bytes": limit, "memory__usage_in_bytes": usage}
    group(root, path, own, memory__stat=f"inactive_file 1\ntotal_inactive_file {cache}", **files)


def test_without_a_control_group_the_machine_is_the_limit(tmp_path):
    assert free_bytes(tmp_path) == MACHINE


def test_a_container_s_limit_counts_and_its_idle_pages_do_not(tmp_path):
    v2(tmp_path, "a/b", 1000 * MB, usage=400 * MB, cache=50 * MB)
    assert free_bytes(tmp_path) == 650 * MB


def test_an_outer_group_s_limit_counts_too(tmp_path):
    v2(tmp_path, "a/b", "max", usage=1)
    v2(tmp_path, "a", 700 * MB, usage=100 * MB)
    assert free_bytes(tmp_path) == 600 * MB


def test_a_group_without_a_limit_is_none(tmp_path):
    v2(tmp_path, "a/b", "max", usage=400 * MB)
    v1(tmp_path, "memory/a/b", 9223372036854771712, usage=400 * MB)
    assert free_bytes(tmp_path) == MACHINE


def test_the_first_version_of_control_groups(tmp_path):
    v1(tmp_path, "memory/a/b", 900 * MB, usage=300 * MB, cache=100 * MB)
    assert free_bytes(tmp_path) == 700 * MB


def test_a_container_that_is_shown_its_host_s_path_finds_itself_at_the_root(tmp_path):
    v2(tmp_path, "", 500 * MB, own="0::/docker/5f3a\n")
    assert free_bytes(tmp_path) == 500 * MB


def test_more_used_than_allowed_is_nothing_free(tmp_path):
    v2(tmp_path, "a/b", 100 * MB, usage=200 * MB)
    assert free_bytes(tmp_path) == 0


def test_what_is_offered_leaves_room_for_caches_process_and_machine(tmp_path):
    v2(tmp_path, "a/b", 1000 * MB)
    assert offered_bytes(INT8, KV, root=tmp_path) == int((1000 * MB - KV - PROCESS_BYTES) * SHARE)


def test_a_kernel_that_keeps_five_bytes_a_weight_offers_a_fifth(tmp_path):
    v2(tmp_path, "a/b", 1000 * MB)
    assert offered_bytes(FP32, KV, root=tmp_path) == offered_bytes(INT8, KV, root=tmp_path) // 5


def test_a_gpu_offers_what_it_has_unless_ram_has_less(tmp_path, monkeypatch):
    monkeypatch.setattr(INT8, "device_room", lambda: 100 * MB, raising=False)
    assert offered_bytes(INT8, KV, root=tmp_path) == int(100 * MB * SHARE)
    v2(tmp_path, "a/b", 400 * MB)
    assert offered_bytes(INT8, KV, root=tmp_path) == int((400 * MB - KV - PROCESS_BYTES) * SHARE)


@pytest.mark.parametrize(
    ("cap", "offered", "said"),
    [
        (None, 505_251_635, "505 MB for blocks (measured; 1000 MB free)"),
        (300 * MB, 300 * MB, "300 MB for blocks (--memory-mb 300; 505 would fit; 1000 MB free)"),
        (3000 * MB, 505_251_635, "505 MB for blocks (--memory-mb 3000 is cut down: no more fits; 1000 MB free)"),
    ],
    ids=["no cap", "a cap below", "a cap above"],
)
def test_a_cap_makes_it_less_and_never_more(tmp_path, caplog, cap, offered, said):
    v2(tmp_path, "a/b", 1000 * MB)
    with caplog.at_level(logging.INFO, "ostraka.node"):
        assert offered_bytes(INT8, KV, cap, tmp_path) == offered
    assert [record.getMessage() for record in caplog.records] == [f"memory: {said}"]


def test_a_machine_without_room_for_any_block_says_what_to_do(tmp_path):
    v2(tmp_path, "a/b", 300 * MB)
    with pytest.raises(ConfigError, match=r"300 MB of RAM are free.*lower --kv-mb"):
        offered_bytes(INT8, KV, 10 * MB, tmp_path)
