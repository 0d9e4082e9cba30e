"""What is seen of a job from outside: one trace over all programs, and logs that give nothing away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.kit.otlp import receiving

from ostraka.crypto.eip712 import Domain
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import ACCOUNTS, DevnetSpec, NodeSpec
from ostraka.telemetry import trace_id
from ostraka.types import Address
from ostraka_worker.records import Record
from ostraka_worker.zoo.tiny import write_gguf

pytestmark = pytest.mark.network
PROMPT = "my aunt hides her pearls in the samovar"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A network of three nodes whose programs export traces and log in JSON, with what came of one job."""
    folder = tmp_path_factory.mktemp("watched")
    write_gguf(folder / "tiny.gguf")
    spec = DevnetSpec(
        folder=folder / "network",
        cache=folder / "cache",
        model=str(folder / "tiny.gguf"),
        max_units=96,
        nodes=(NodeSpec(memory_mb=64),) * 3,
    )
    with receiving() as receiver, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "300")
        environment.setenv("OSTRAKA_LOG", "json")
        with Devnet(spec) as network:
            done = subprocess.run(
                [sys.executable, "-m", "ostraka.cli", "job", "submit", "tiny", PROMPT, "--max-tokens", "6", "--raw",
                 "--json", "--profile", str(network.profile_path)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            job = json.loads(done.stdout)
            nodes = {n.node_id for n in network.nodes}
            names = [c.name for c in network.processes.children if c.name.startswith(("node", "orch", "tasks"))]
            domain = Domain(network.deployment.chain_id, Address(network.deployment.address("JobMarket")))
            keys = [network.key(i).secret for i in range(ACCOUNTS)]
        logs = {name: (spec.folder / "logs" / f"{name}.log").read_text() for name in names}
        yield receiver, domain, job, nodes, logs, keys, spec.folder


def test_one_job_is_one_trace_over_requester_orchestrator_and_nodes(watched):
    receiver, domain, job, nodes, *_ = watched
    spans = [s for s in receiver.spans if s.attributes["job"] == job["job_id"]]
    assert {s.trace for s in spans} == {trace_id(domain, job["job_id"])}
    by_program = {}
    for seen in spans:
        by_program.setdefault(seen.program, set()).add(seen.name)
    assert by_program["ostraka-client"] >= {"job", "submit", "deliver", "await verdict", "verify"}
    assert by_program["ostraka-orchestrator"] >= {"ask match"}
    assert by_program["ostraka-tasks"] >= {"match", "replica", "settle", "finalize"}
    assert by_program["ostraka-node"] >= {"prefill", "decode", "check", "conclude", "commit", "reveal", "stage"}
    for name in ("stage", "commit", "reveal"):
        assert {s.attributes["node"] for s in spans if s.name == name} == nodes
    (root,) = [s for s in spans if s.name == "job"]
    known = {s.span for s in spans}
    assert root.parent == b""
    assert all(s.parent in known for s in spans if s is not root)


def test_logs_are_json_lines(watched):
    *_, logs, _, _ = watched
    for name, text in logs.items():
        # What Celery says on its own way out goes to stdout, and is no log.
        lines = [json.loads(line) for line in text.splitlines() if line and not line.startswith("worker: ")]
        assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines), name
    assert '"message"' in logs["node-1"]


def test_keys_salts_and_prompts_are_neither_in_logs_nor_in_traces(watched):
    receiver, _, job, _, logs, keys, folder = watched
    records = [
        msgspec.msgpack.decode(p.read_bytes(), type=Record) for p in Path(folder).glob("node-*/records/*/record")
    ]
    assert len(records) == 3
    secrets = [*keys, *(r.salt for r in records)]
    told = [*(text.encode() for text in logs.values()), *receiver.bodies]
    for text in told:
        assert PROMPT.encode() not in text
        assert b"samovar" not in text
        for secret in secrets:
            assert bytes(secret) not in text
            assert bytes(secret).hex().encode() not in text.lower()
        assert ", ".join(map(str, job["tokens"])).encode() not in text
