"""A whole network of real processes, shared by the tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    with Devnet(DevnetSpec(folder=folder, cache=cache_folder())) as running:
        yield running


@pytest.fixture
def client(network):
    with Client(network.profile) as opened:
        yield opened


@pytest.fixture
def ostraka(network):
    """Runs the command line as a user would, on the network's profile."""

    def run(*arguments: str, profile: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ostraka.cli", *arguments]
        if profile:
            environment.setdefault("OSTRAKA_PROFILE", str(network.profile_path))
        return subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, **environment}
        )

    return run


@pytest.fixture
def refused(ostraka):
    """Runs a command that must fail: one clear line, its exit code, no traceback."""

    def run(code: int, *arguments: str, **environment: str) -> str:
        done = ostraka(*arguments, **environment)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert done.stderr.startswith("error: ")
        return done.stderr

    return run
