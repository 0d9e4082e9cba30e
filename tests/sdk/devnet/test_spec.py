"""A network's nodes are as unlike as this machine allows, and never ask it for what it lacks."""

from __future__ import annotations

import pytest

from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import (
    ACCOUNTS,
    FIRST_SIGNER,
    MAX_NODES,
    MAX_ORCHESTRATORS,
    SIMD_FLAGS,
    SIX_UNLIKE_NODES,
    DevnetSpec,
    NodeSpec,
    cpu_flags,
    orchestrator_account,
)
from ostraka.errors import ConfigError
from ostraka.params import Params, preset

OLD, HASWELL = frozenset({"sse2"}), frozenset({"sse2", "avx2", "fma"})
NEW = HASWELL | SIMD_FLAGS["avx512"]


@pytest.mark.parametrize(
    ("simd", "flags", "asked"),
    [
        ("avx512", NEW, "avx512"),
        ("avx512", HASWELL, None),
        ("avx512", OLD, None),
        ("avx2", NEW, "avx2"),
        ("avx2", OLD, None),
        ("default", OLD, "default"),
        ("default", frozenset(), "default"),
        ("", NEW, None),
    ],
)
def test_a_level_is_asked_for_only_where_the_cpu_has_it(simd, flags, asked):
    environment = NodeSpec(simd=simd).environment(flags)
    assert environment.get("ATEN_CPU_CAPABILITY") == environment.get("OSTRAKA_SIMD") == asked


def test_threads_and_twins_are_told_to_the_process():
    assert NodeSpec(threads=3).environment(NEW)["OMP_NUM_THREADS"] == "3"
    assert "OSTRAKA_NATIVE" not in NodeSpec().environment(NEW)
    assert NodeSpec(twins=False).environment(NEW)["OSTRAKA_NATIVE"] == "off"


def test_no_node_of_the_demo_needs_a_kernel_that_some_machine_lacks():
    assert {node.kernel for node in SIX_UNLIKE_NODES} == {"", "fp32"}


def test_this_machine_tells_its_flags():
    assert "sse2" in cpu_flags() or "asimd" in cpu_flags() or not cpu_flags()


def test_orchestrators_have_accounts_of_their_own():
    accounts = [orchestrator_account(index) for index in range(MAX_ORCHESTRATORS)]
    assert len(set(accounts)) == MAX_ORCHESTRATORS
    assert all(a == 1 or FIRST_SIGNER + MAX_NODES <= a < ACCOUNTS for a in accounts)


@pytest.mark.parametrize("count", [0, MAX_ORCHESTRATORS + 1])
def test_more_orchestrators_than_accounts_are_refused(tmp_path, count):
    with pytest.raises(ConfigError, match=f"orchestrators: {count}; a local network has 1 to {MAX_ORCHESTRATORS}"):
        Devnet(DevnetSpec(folder=tmp_path, cache=tmp_path, orchestrators=count))


def test_a_network_may_have_parameters_of_its_own(tmp_path):
    assert DevnetSpec(folder=tmp_path, cache=tmp_path).parameters == preset("local")
    own = Params(orchestrator_takeover_s=3)
    assert DevnetSpec(folder=tmp_path, cache=tmp_path, params=own).parameters == own
