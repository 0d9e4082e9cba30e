"""A Redis that kept another network's data: job 1 of the new one has the new one's answer."""

from __future__ import annotations

import shutil

import pytest

from ostraka.client import Client
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.types import JobId, JobState
from ostraka_worker.zoo.tiny import write_gguf

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_second_network_on_the_first_ones_redis_answers_its_own_first_job(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")

    def network(name):
        return Devnet(
            DevnetSpec(
                folder=tmp_path / name,
                cache=tmp_path / "cache",
                model=str(tmp_path / "tiny.gguf"),
                max_units=96,
                nodes=(NodeSpec(memory_mb=64),),
                queue="redis",
            )
        )

    def first_job(running):
        """Nothing but their chains tells the two apart: same contracts' addresses, same number, same question."""
        with Client(running.profile) as client:
            answer = client.generate("tiny", "one two three", replicas=1, max_tokens=4, chat=False, deadline_s=60)
            answer.result()
            assert answer.job_id == 1
            assert client.market.job(JobId(1)).state is JobState.FINAL
            return client.market.deployment.contracts, [event["type"] for event in client.orchestrator.job(1)["events"]]

    with network("first") as running:
        before = first_job(running)
    shutil.copytree(tmp_path / "first" / "queue", tmp_path / "second" / "queue")
    with network("second") as running:
        after = first_job(running)
    assert before == after
    assert after[1] == ["matched", *["token"] * 4, "committed"], "nothing of the first one's is shown"
