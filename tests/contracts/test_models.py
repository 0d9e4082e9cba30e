"""Models: published once, under the digest of their manifest."""

from __future__ import annotations

from world.market import BLOCKS, EXACT, INPUT, MAX_UNITS, MODEL, PRICE, ROYALTY_BPS, TOLERANT, World
from world.refusals import refused
from world.trace import sha

GWEI = 10**9
MOST = (2**40 - 1) * GWEI
OTHER = sha(b"another manifest")


class TestGivenAPublisher:
    def test_when_it_publishes_the_model_should_be_on_record(self, world: World):
        sent = world.publish(OTHER, name="a name")
        assert tuple(world.models.model(OTHER)) == (
            world.publisher.address,
            PRICE,
            "0x" + sha(b"shards").hex(),
            BLOCKS,
            MAX_UNITS,
            ROYALTY_BPS,
            EXACT,
            False,
        )
        assert sent.events["ModelPublished"]["name"] == "a name"
        assert tuple(world.models.royaltyOf(OTHER)) == (world.publisher.address, ROYALTY_BPS)

    def test_when_it_is_published_already_it_should_be_refused_to_everyone(self, world: World):
        for who in (world.publisher, world.stranger):
            with refused("AlreadyPublished", MODEL, world.publisher):
                world.publish(MODEL, by=who)

    def test_when_a_value_makes_no_sense_it_should_be_refused(self, world: World):
        cases = [
            (("ZeroDigest",), {"shard_root": bytes(32)}),
            (("BlocksOutOfRange", 0, 1024), {"blocks": 0}),
            (("BlocksOutOfRange", 1025, 1024), {"blocks": 1025}),
            (("MaxUnitsOutOfRange", 0, 2**24 - 1), {"max_units": 0}),
            (("MaxUnitsOutOfRange", 2**24, 2**24 - 1), {"max_units": 2**24}),
            (("PriceOutOfRange", 0, GWEI, MOST), {"price": 0}),
            (("PriceOutOfRange", GWEI + 1, GWEI, MOST), {"price": GWEI + 1}),
            (("PriceOutOfRange", MOST + GWEI, GWEI, MOST), {"price": MOST + GWEI}),
            (("RoyaltyTooHigh", 1001, 1000), {"royalty_bps": 1001}),
            (("NameLengthOutOfRange", 0, 64), {"name": ""}),
            (("NameLengthOutOfRange", 65, 64), {"name": "x" * 65}),
        ]
        for refusal, changes in cases:
            with refused(*refusal):
                world.publish(OTHER, **changes)
        with refused("ZeroDigest"):
            world.publish(bytes(32))
        most = {"blocks": 1024, "max_units": 2**24 - 1, "price": MOST, "royalty_bps": 1000, "profile": TOLERANT}
        world.publish(OTHER, **most, name="x" * 64)
        world.models.retire(OTHER, world.publisher.pays)
        kept = world.models.model(OTHER).dict()
        assert kept | {"publisher": 0, "shardRoot": 0} == {
            "publisher": 0,
            "pricePerUnit": MOST,
            "shardRoot": 0,
            "blocks": 1024,
            "maxUnits": 2**24 - 1,
            "royaltyBps": 1000,
            "profile": TOLERANT,
            "retired": True,
        }, "packing loses nothing"

    def test_when_it_sets_the_price_only_later_jobs_should_cost_it(self, world: World):
        before = world.submit()
        world.models.setPrice(MODEL, 2 * PRICE, world.publisher.pays)
        after = world.submit(price_cap=3 * MAX_UNITS * 2 * PRICE)
        assert (before.view["pricePerUnit"], after.view["pricePerUnit"]) == (PRICE, 2 * PRICE)
        with refused("PriceOutOfRange", 0, GWEI, MOST):
            world.models.setPrice(MODEL, 0, world.publisher.pays)

    def test_when_it_retires_the_model_no_new_job_or_claim_should_be_taken(self, world: World):
        running = world.submit()
        world.models.retire(MODEL, world.publisher.pays)
        with refused("ModelIsRetired", MODEL):
            world.models.retire(MODEL, world.publisher.pays)
        with refused("ModelIsRetired", MODEL):
            world.submit()
        with refused("ModelIsRetired", MODEL):
            world.shards.claim(1, MODEL, 0, 1, world.serving[0].operator.pays)
        running.run()

    def test_when_the_model_is_tolerant_no_job_should_be_taken_whose_hashes_could_cost_anybody(self, world: World):
        world.publish(OTHER, profile=TOLERANT)
        with refused("ModelIsTolerant", OTHER):
            world.submit(model=OTHER)

    def test_when_it_is_not_the_publisher_it_should_be_refused(self, world: World):
        with refused("NotPublisher", MODEL, world.stranger, world.publisher):
            world.models.setPrice(MODEL, GWEI, world.stranger.pays)
        with refused("NotPublisher", MODEL, world.stranger, world.publisher):
            world.models.retire(MODEL, world.stranger.pays)
        with refused("UnknownModel", INPUT):
            world.models.retire(INPUT, world.stranger.pays)
