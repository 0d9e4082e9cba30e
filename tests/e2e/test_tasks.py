"""Every task but generation, end to end on one network: published, computed by three replicas of two stages, agreed on, read.

Six nodes that hold half of a model each. They start on the encoder and move to the next model when the test says so. All models are
published by the command line.
"""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from benchmarks._networks import NETWORKS
from PIL import Image

from ostraka.chain import events as ev
from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.client.reader import NetworkReader
from ostraka.crypto.trace import result_of
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.errors import UsageError
from ostraka.types import JobId, JobState, NodeStatus
from ostraka_orchestrator.board import open_board
from ostraka_worker.engine import infer_local
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.prepare_graph import Network
from ostraka_worker.prepare_named import prepare_module, prepare_named
from ostraka_worker.zoo.data import find_package_file

pytestmark = [pytest.mark.network, pytest.mark.model, pytest.mark.timeout(300)]
ENCODER, CLASSIFIER, DETECTOR, TOPICS = "all-minilm-l6-v2", "efficientnet-lite0", "centernet", "minilm-topics"
OWN = "perceptron-of-tests"
TEXTS = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Stock prices fell sharply."]

MEMORY_MB = 16  # the encoder has 23: 12.6 for its words, 1.8 a layer

# The last node lies in the fifth job, the detector's.
NODES = (
    *[NodeSpec(memory_mb=MEMORY_MB)] * 2,
    *[NodeSpec(memory_mb=MEMORY_MB, kernel="fp32", twins=False)] * 3,
    NodeSpec(memory_mb=MEMORY_MB, fault="tamper-activation:job=5"),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    for name in (CLASSIFIER, TOPICS, DETECTOR):
        prepare_named(name, cache_folder())
    spec = DevnetSpec(folder=tmp_path_factory.mktemp("tasks"), cache=cache_folder(), model=ENCODER, nodes=NODES)
    with Devnet(spec) as running:
        yield running


@pytest.fixture(scope="module")
def client(network):
    with Client(network.profile) as client:
        yield client


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A motorcycle in a garage, 741 × 500."""
    pixels = Image.open(find_package_file("skimage", "data/motorcycle_left.png")).convert("RGB")
    path = tmp_path_factory.mktemp("photo") / "motorcycle.png"
    pixels.save(path)
    return path


def move(network, client, name):
    """Has three nodes serve the first half of a model, three the second."""
    info = client.find_model(name)
    blocks = client.manifest(info).blocks
    held = [sum(b.bytes for b in blocks[:at]) for at in range(info.blocks + 1)]
    fits = [at for at in range(1, info.blocks) if max(held[at], held[-1] - held[at]) < MEMORY_MB * 10**6]
    half = min(fits, key=lambda at: abs(at - info.blocks / 2))
    board = open_board(network.queue_url, network.market, network.orchestrators[0].address)
    for node in network.nodes:
        start, stop = (0, half) if node.index % 2 == 0 else (half, info.blocks)
        board.set_placement(node.node_id, info.model_id.hex(), start, stop)
    end = time.monotonic() + 150
    while sum(bool(n["span"]) and n["span"][0] == info.model_id.hex() for n in client.orchestrator.nodes()) < len(
        NODES
    ):
        assert time.monotonic() < end, client.orchestrator.nodes()
        time.sleep(0.2)


def local_digest(model, read, folder=None):
    """The result hash of this process alone. `read` makes inputs of a reader."""
    manifest, store = prepare_named(model, folder or cache_folder())
    reader = NetworkReader.fetch(manifest, store)
    job = reader.job(read(reader))
    outputs, digests = infer_local(manifest, lambda i: store.path(manifest.blocks[i].cid), job.inputs, pick_kernel()[0])
    return result_of(digests, outputs, manifest.digest, job.digest).hash.hex()


def checked(answer, agreeing=(0, 1, 2)):
    """Agreed on by replicas of two stages each, paid at the model's price, receipts in order."""
    assert answer.verification.agreeing == agreeing
    assert answer.verification.tokens_match_chain
    assert all(len(answer.replicas[r]["stages"]) >= 2 for r in agreeing)
    assert all(receipt.valid and receipt.units == 1 for receipt in answer.receipts)
    assert answer.cost > 0


def test_texts_are_embedded(network, client):
    answer = client.embed(ENCODER, TEXTS)
    found = answer.embeddings
    checked(answer)
    assert found.shape == (3, 384)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    near, far = found[0] @ found[1], found[0] @ found[2]
    assert near > 0.5 > 0.3 > far
    assert answer.result_hash == local_digest(ENCODER, lambda reader: reader.texts(TEXTS))
    assert answer.cost == 3 * network.spec.price_per_unit


def test_what_the_manifest_does_not_allow_is_refused_before_anything_is_spent(client):
    before = client.market.token_balance(client.key.address)
    with pytest.raises(UsageError, match="texts: 9 given; give 1 to 8"):
        client.embed(ENCODER, ["x"] * 9)
    with pytest.raises(UsageError, match="its task is embed, not detect"):
        client.detect(ENCODER, "nothing.png")
    with pytest.raises(UsageError, match="it generates no text"):
        client.generate(ENCODER, "hi")
    tokens = np.full((1, 4), 30522, np.int64)
    with pytest.raises(UsageError, match="input tokens: 30522 to 30522; want 0 to 30521"):
        client.run(ENCODER, {"tokens": tokens, "mask": np.ones((1, 4), bool)})
    assert client.market.token_balance(client.key.address) == before


def test_a_picture_is_classified(network, client, photo):
    network.publish(CLASSIFIER)
    move(network, client, CLASSIFIER)
    answer = client.classify(CLASSIFIER, photo)
    checked(answer)
    scooters = {f"imagenet-{n}" for n in (665, 670, 518)}  # moped, motor scooter, crash helmet
    assert answer.labels[0].name in scooters
    assert answer.result_hash == local_digest(CLASSIFIER, lambda reader: reader.picture(photo)[0])


def test_a_text_is_classified_from_the_command_line(network, client):
    network.publish(TOPICS)
    move(network, client, TOPICS)
    said = network.run_cli("job", "submit", TOPICS, "Should I pay off my mortgage early?", "--json")
    told = json.loads(said)
    assert told["verified"]
    assert told["agreeing"] == [0, 1, 2]
    assert told["labels"][0][0]["label"] == "money"


def test_a_module_of_one_s_own_is_published_by_its_name(network, client, tmp_path):
    """A multilayer perceptron with random weights, as a publisher's own program prepares it."""
    made = NETWORKS["mlp"]()
    prepare_module(OWN, Network(made.module, made.examples, {"logits": ("", "")}), tmp_path)
    said = network.run_cli(
        "model", "publish", OWN, "--cache", str(tmp_path), "--price", str(network.spec.price_per_unit),
        "--key", str(network.folder / "keys" / "publisher.key"),
    )  # fmt: skip
    assert f"{OWN} is published" in said
    move(network, client, OWN)
    answer = client.run(OWN, made.examples)
    checked(answer)
    with torch.inference_mode():
        wanted = made.module(torch.from_numpy(made.examples["x"])).numpy()
    error = np.linalg.norm(answer.outputs["logits"] - wanted) / np.linalg.norm(wanted)
    assert error < 0.05
    assert answer.result_hash == local_digest(OWN, lambda reader: made.examples, tmp_path)


def test_things_are_found_in_a_picture_although_a_node_lies(network, client, photo):
    network.publish(DETECTOR)
    move(network, client, DETECTOR)
    answer = client.detect(DETECTOR, photo)
    assert answer.job_id == 5
    (best, *_) = answer.boxes
    left, top, right, bottom = best.box
    assert best.label == "motorcycle"
    assert left < 370 < right  # the middle of the picture
    assert top < 250 < bottom
    assert answer.result_hash == local_digest(DETECTOR, lambda reader: reader.picture(photo)[0])
    (outvoted,) = answer.verification.outvoted
    checked(answer, tuple(r for r in range(3) if r != outvoted))
    end = time.monotonic() + 150
    while not client.market.job(JobId(5)).state.closed:
        assert time.monotonic() < end
        time.sleep(0.3)
    assert client.market.job(JobId(5)).state is JobState.FINAL
    thief = network.nodes[-1]
    (slash,) = [e for e in client.market.job_events(5) if isinstance(e, ev.Slashed)]
    assert slash.node_id == thief.node_id
    assert client.market.node(thief.node_id).status is NodeStatus.JAILED
