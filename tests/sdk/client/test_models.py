"""Looking a model up: what was read is kept, and a name that is not known yet is looked for anew."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ostraka.chain import events as ev
from ostraka.chain.catalogue import KINDS, Catalogue
from ostraka.chain.remember import Remembered
from ostraka.chain.whereabouts import READ_AGAIN
from ostraka.client.client import Client, ModelInfo
from ostraka.errors import UnknownModel


class FakeChain:
    """What was said of models, by chain block."""

    def __init__(self):
        self.last, self.said, self.asked = 0, {}, []

    def publish(self, number, model_id, name):
        self.last = max(self.last, number)
        self.said[number] = ev.ModelPublished(
            block_number=number, log_index=0, transaction=b"t", model_id=model_id, publisher="p", shard_root=b"r",
            blocks=2, max_units=9, price_per_unit=1, royalty_bps=0, profile=0, name=name,
        )  # fmt: skip

    def say(self, number, kind, **fields):
        self.last = max(self.last, number)
        self.said[number] = kind(block_number=number, log_index=0, transaction=b"t", **fields)

    def block_number(self):
        return self.last

    def events(self, first, last, kinds=()):
        assert kinds == KINDS
        self.asked.append((first, last))
        return [event for number, event in sorted(self.said.items()) if first <= number <= last]


def test_models_are_read_once_but_for_what_a_reorganization_may_change():
    chain = FakeChain()
    catalogue = Catalogue(chain, 5)
    chain.publish(6, b"a", "one")
    chain.publish(1_000, b"b", "two")
    assert [m.name for m in catalogue.models()] == ["one", "two"]
    chain.publish(1_100, b"c", "one")
    del chain.said[1_000]
    chain.publish(1_101, b"b", "two")  # the chain changed its mind: it was mined later
    assert [m.model_id for m in catalogue.models()] == [b"a", b"c", b"b"]
    assert chain.asked == [(5, 1_000), (1_001 - READ_AGAIN, 1_101)]


def test_a_price_is_the_present_one_and_what_is_retired_is_gone():
    chain = FakeChain()
    catalogue = Catalogue(chain, 5)
    chain.publish(6, b"a", "one")
    chain.publish(7, b"b", "two")
    chain.say(8, ev.ModelPriceChanged, model_id=b"a", previous=1, current=3)
    for _ in range(2):  # the second look reads all of it again
        assert [(m.name, m.price_per_unit) for m in catalogue.models()] == [("one", 3), ("two", 1)]
    chain.say(9, ev.ModelRetired, model_id=b"b")
    chain.say(10, ev.ModelPriceChanged, model_id=b"a", previous=3, current=2)
    for _ in range(2):
        assert [(m.name, m.price_per_unit) for m in catalogue.models()] == [("one", 2)]


@pytest.fixture(params=[True, False])
def asker(request):
    """What `find_model` needs of a client, busy or not; counts how often the market is read."""
    found = SimpleNamespace(_busy=request.param, _models=Remembered(60.0 if request.param else 0.0), reads=0, there=[])

    def models():
        found.reads += 1
        return list(found.there)

    found.models = models
    return found


def info(name, model_id=b"a"):
    return ModelInfo(model_id, name, 2, 9, 1)


def test_a_busy_client_reads_the_market_once_for_many_jobs(asker):
    asker.there = [info("tiny"), info("tiny", b"b")]
    for _ in range(5):
        assert Client.find_model(asker, "tiny").model_id == b"b", "the newest of that name"
    assert Client.find_model(asker, "0x61").model_id == b"a"
    assert asker.reads == (1 if asker._busy else 6)


def test_a_model_that_was_published_a_moment_ago_is_found(asker):
    asker.there = [info("tiny")]
    Client.find_model(asker, "tiny")
    asker.there.append(info("new", b"n"))
    assert Client.find_model(asker, "new").model_id == b"n"
    with pytest.raises(UnknownModel, match="'other' is not on this market; there are: new, tiny"):
        Client.find_model(asker, "other")
