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

    def first_job(running, prompt):
        with Client(running.profile) as client:
            answer = client.generate("tiny", prompt, replicas=1, max_tokens=4, chat=False)
            answer.result()
            assert answer.job_id == 1
            assert client.market.job(JobId(1)).state is JobState.FINAL
            return list(answer.tokens)

    with network("first") as running:
        before = first_job(running, "a")
    shutil.copytree(tmp_path / "first" / "queue", tmp_path / "second" / "queue")
    with network("second") as running:
        after = first_job(running, "one two three")
        again = running.run_cli("orchestrator", "status", "--json")
    assert len(before) == len(after) == 4
    assert before != after, "another question has another answer"
    assert '"final": 1' in again
