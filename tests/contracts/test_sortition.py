"""Seeds from chain blocks to come, and seats drawn by stake."""

from __future__ import annotations

import random
import statistics

import pytest
from brownie import web3
from world.lots import Lots, block_number, mine, next_block_is, seed_of
from world.market import OSTR, STAKE, World
from world.refusals import refused
from world.told import tell

ZERO = "0x" + "00" * 20
DELAY, LIFETIME, ROUND = 2, 8, 10
MIN_WEIGHT = 3


@pytest.fixture
def dice(world: World):
    return world.deployer.account.deploy(world.project.BlockRandomness, DELAY, LIFETIME)


def request(world: World, dice) -> tuple[int, int]:
    """The id and the seed block."""
    said = dice.request(world.stranger.pays).events["SeedRequested"]
    return said["requestId"], said["seedBlock"]


class TestGivenARequest:
    def test_it_should_name_a_block_to_come_and_count_ids_from_1(self, world: World, dice):
        for expected in (1, 2):
            request_id, seed_block = request(world, dice)
            assert (request_id, seed_block) == (expected, block_number() + DELAY)
            assert dice.seedBlockOf(request_id) == seed_block
        with refused("UnknownRequest", 3):
            dice.renew(3, world.stranger.pays)
        with refused("UnknownRequest", 0):
            dice.renew(0, world.stranger.pays)

    def test_when_read_from_just_behind_the_seed_block_to_its_last_block_it_should_be_that_hash(
        self, world: World, dice
    ):
        probe = world.deployer.account.deploy(world.project.SeedProbe, dice)
        request_id, seed_block = request(world, dice)
        for early in range(DELAY, 0, -1):  # from the chain block behind the request up to the seed block itself
            at = seed_block - early + 1
            next_block_is(at)
            with refused("SeedNotReady", request_id, seed_block, at, on="BlockRandomness"):
                probe.read(request_id, world.stranger.pays)
        seen = {bytes(probe.read(request_id, world.stranger.pays).events["SeedSeen"]["seed"])}
        assert block_number() == seed_block + 1
        next_block_is(seed_block + LIFETIME)
        seen |= {bytes(probe.read(request_id, world.stranger.pays).events["SeedSeen"]["seed"])}
        assert seen == {seed_of(dice.address, request_id, bytes(web3.eth.get_block(seed_block)["hash"]))}
        with refused("SeedExpired", request_id, seed_block + LIFETIME, seed_block + LIFETIME + 1, on="BlockRandomness"):
            probe.read(request_id, world.stranger.pays)

    def test_when_two_ask_in_one_block_their_seeds_should_differ(self, world: World, dice):
        probe = world.deployer.account.deploy(world.project.SeedProbe, dice)
        first, second = probe.askTwice(world.stranger.pays).return_value
        mine(DELAY)
        assert dice.seedBlockOf(first) == dice.seedBlockOf(second)
        seeds = {bytes(probe.read(i, world.stranger.pays).events["SeedSeen"]["seed"]) for i in (first, second)}
        assert len(seeds) == 2

    def test_when_renewed_it_should_be_only_once_the_seed_is_gone(self, world: World, dice):
        request_id, seed_block = request(world, dice)
        last = seed_block + LIFETIME
        with refused("SeedStillGood", request_id, last, block_number() + 1):
            dice.renew(request_id, world.stranger.pays)
        next_block_is(last)
        with refused("SeedStillGood", request_id, last, last):
            dice.renew(request_id, world.stranger.pays)
        dice.renew(request_id, world.stranger.pays)
        assert dice.seedBlockOf(request_id) == last + 1 + DELAY

    def test_when_the_lifetime_is_the_longest_the_last_block_should_still_know_the_hash(self, world: World):
        dice = world.deployer.account.deploy(world.project.BlockRandomness, 1, 256)
        probe = world.deployer.account.deploy(world.project.SeedProbe, dice)
        request_id, seed_block = request(world, dice)
        next_block_is(seed_block + 256)
        seed = bytes(probe.read(request_id, world.stranger.pays).events["SeedSeen"]["seed"])
        assert seed == seed_of(dice.address, request_id, bytes(web3.eth.get_block(seed_block)["hash"]))


class TestGivenADeployment:
    def test_when_a_parameter_is_out_of_range_it_should_be_refused(self, world: World, dice):
        deploy, project = world.deployer.account.deploy, world.project
        for delay in (0, 65):
            with refused("DelayOutOfRange", delay, 1, 64, on="BlockRandomness"):
                deploy(project.BlockRandomness, delay, 256)
        for lifetime in (0, 257):
            with refused("LifetimeOutOfRange", lifetime, 1, 256, on="BlockRandomness"):
                deploy(project.BlockRandomness, 1, lifetime)
        with refused("RoundTooShort", LIFETIME - 1, LIFETIME, on="Sortition"):
            deploy(project.Sortition, world.vault, dice, LIFETIME - 1, 1)
        with refused("ZeroMinWeight", on="Sortition"):
            deploy(project.Sortition, world.vault, dice, ROUND, 0)
        for vault, source in ((ZERO, dice), (world.vault, ZERO)):
            with refused("ZeroAddress", on="Sortition"):
                deploy(project.Sortition, vault, source, ROUND, 1)


@pytest.fixture
def lots(world: World, dice):
    return world.deployer.account.deploy(world.project.Sortition, world.vault, dice, ROUND, MIN_WEIGHT)


class TestGivenAnOperator:
    def test_when_it_joins_it_should_count_from_the_next_round(self, world: World, lots):
        operator = world.serving[0].operator
        next_block_is((block_number() // ROUND + 1) * ROUND)
        said = lots.join(operator.pays).events["OperatorJoined"]
        weight = STAKE // OSTR
        assert (said["operator"], said["slot"], said["weight"]) == (operator.address, 1, weight)
        assert (lots.slotOf(operator.address), lots.nextWeightOf(operator.address)) == (1, weight)
        assert (lots.weightOf(operator.address), lots.totalWeight()) == (0, 0)
        with refused("AlreadyJoined", operator, 1):
            lots.join(operator.pays)
        mine(ROUND)
        assert (lots.weightOf(operator.address), lots.totalWeight()) == (weight, weight)

    def test_when_its_stake_is_too_small_it_should_be_refused_or_leave(self, world: World, lots):
        operator = world.stranger
        world.stake(operator, MIN_WEIGHT * OSTR - 1)
        with refused("WeightTooLow", operator, MIN_WEIGHT - 1, MIN_WEIGHT):
            lots.join(operator.pays)
        world.stake(operator, 1)
        lots.join(operator.pays)
        world.stake(operator, 10 * OSTR)
        said = lots.refresh(operator.address, world.challenger.pays).events["WeightChanged"]
        assert (said["previous"], said["current"]) == (MIN_WEIGHT, MIN_WEIGHT + 10)
        world.vault.requestUnstake(10 * OSTR + 1, operator.pays)
        assert "OperatorLeft" in lots.refresh(operator.address, world.challenger.pays).events
        assert (lots.slotOf(operator.address), lots.nextWeightOf(operator.address)) == (0, 0)
        for call, by in ((lots.refresh, [operator.address]), (lots.leave, [])):
            with refused("NotJoined", operator):
                call(*by, operator.pays)

    def test_when_it_leaves_its_slot_should_wait_for_two_rounds(self, world: World, lots):
        first, second, third, fourth = (node.operator for node in world.serving[:4])
        next_block_is((block_number() // ROUND + 1) * ROUND)
        for operator in (first, second):
            lots.join(operator.pays)
        said = lots.leave(first.pays).events["OperatorLeft"]
        assert (said["operator"], said["slot"]) == (first.address, 1)
        left_in = block_number() // ROUND
        next_block_is((left_in + 2) * ROUND - 1)
        lots.join(third.pays)
        assert lots.slotOf(third.address) == 3
        lots.join(fourth.pays)
        assert lots.slotOf(fourth.address) == 1


class TestGivenADraw:
    """A crowd whose stake is paper, and a model that must draw the same, bit for bit."""

    @pytest.fixture
    def hall(self, world: World, dice):
        return Hall(world, dice)

    def test_at_random_it_should_draw_as_the_model_does(self, world: World, hall):
        dice = random.Random(20)
        hall.arrive([dice.choice([3, 4, 50, 10**6, 2**47]) for _ in range(40)])
        for _ in range(12):
            for _ in range(dice.randrange(6)):
                hall.stir(dice)
            mine(dice.randrange(2 * ROUND))
            request_id, seed_block = request(world, hall.dice)
            for _ in range(dice.randrange(4)):
                hall.stir(dice)
            if block_number() <= seed_block:
                mine(seed_block + 1 - block_number())
            mine(dice.randrange(LIFETIME - 4))
            while block_number() < seed_block + LIFETIME - 1 and dice.random() < 0.7:
                hall.stir(dice)  # the seed is known by now, and a new round may have begun
            seats = dice.choice([1, 3, 7, 15, 60])
            excluded = dice.sample(hall.crowd, dice.randrange(10))
            assert hall.draw(request_id, seats, excluded) == hall.expected(request_id, seats, excluded)

    def test_when_fewer_remain_than_seats_it_should_draw_each_of_them_once(self, world: World, hall):
        hall.arrive([5, 6, 7, 8])
        mine(ROUND)
        request_id, _ = request(world, hall.dice)
        mine(DELAY + 1)
        drawn = hall.draw(request_id, 15, [hall.crowd[2]])
        assert sorted(drawn) == sorted(hall.crowd[:2] + hall.crowd[3:])
        assert hall.draw(request_id, 15, hall.crowd) == []

    def test_when_nobody_is_in_it_should_draw_nobody(self, world: World, hall):
        request_id, _ = request(world, hall.dice)
        mine(DELAY + 1)
        assert hall.draw(request_id, 3) == []

    def test_when_weights_change_once_the_seed_is_out_it_should_not_matter(self, world: World, hall):
        hall.arrive([3, 3, 3, 3])
        next_block_is((block_number() // ROUND + 1) * ROUND + 1)
        request_id, seed_block = request(world, hall.dice)
        mine(DELAY + 1)
        before = hall.draw(request_id, 2)
        hall.stake(hall.crowd[0], 10**9)
        hall.lots.leaveAs(before[0], world.stranger.pays)
        assert hall.draw(request_id, 2) == before
        mine(seed_block + LIFETIME - block_number())
        assert block_number() // ROUND == seed_block // ROUND + 1, "the next round has begun, and counts the changes"
        assert hall.lots.weightOf(before[0]) == 0
        assert hall.draw(request_id, 2) == before

    def test_it_should_draw_in_proportion_to_weight(self, world: World, hall):
        """The contract draws as the model does, and the model as the weights say, within 4 sigma over 4000 seeds."""
        weights = [10, 20, 30, 40]
        hall.arrive(weights)
        mine(ROUND)
        for _ in range(5):
            asked = [request(world, hall.dice) for _ in range(2)]
            mine(DELAY + 1)
            for request_id, _ in asked:
                (drawn,) = hall.draw(request_id, 1)
                assert [drawn] == hall.expected(request_id, 1)
        seed = hall.seed(request_id)
        model, counts = hall.model, [0] * 4
        for n in range(4_000):
            (one,) = model.draw(seed + n.to_bytes(4, "big"), block_number(), 1)
            counts[hall.crowd.index(one)] += 1
        for weight, count in zip(weights, counts, strict=True):
            share = weight / 100
            assert abs(count - 4_000 * share) < 4 * (4_000 * share * (1 - share)) ** 0.5

    def test_when_all_slots_are_taken_it_should_say_so(self, world: World, hall):
        hall.lots.pretendFull(world.stranger.pays)
        hall.vault.set([world.stranger.address], [5 * OSTR], world.stranger.pays)
        with refused("AllSlotsTaken", 4096, on="Sortition"):
            hall.lots.join(world.stranger.pays)

    def test_gas_should_stay_within_the_goal(self, world: World, hall):
        hall.arrive([random.Random(n).randrange(3, 10**6) for n in range(1_000)])
        mine(ROUND)
        # Which leaves a seed hits decides how much of the tree two seats share, some 5 %: so the median of several draws.
        used = {3: [], 7: [], 15: []}
        for seats, gas in used.items():
            for _ in range(9):
                request_id, _ = request(world, hall.dice)
                mine(DELAY + 1)
                gas.append(hall.lots.drawAndForget(request_id, seats, [], world.stranger.pays).gas_used)
        middle = {seats: statistics.median(gas) for seats, gas in used.items()}
        tell(f"gas of a draw from 1000: {middle}; from {min(used[7])} to {max(used[7])} for 7")
        assert middle[3] <= 125_000
        assert middle[7] <= 225_000


class Hall:
    def __init__(self, world: World, dice) -> None:
        deploy = world.deployer.account.deploy
        self.world, self.dice = world, dice
        self.vault = deploy(world.project.PaperVault)
        self.lots = deploy(world.project.CrowdedSortition, self.vault, dice, ROUND, MIN_WEIGHT)
        self.model = Lots(ROUND)
        self.crowd: list[str] = []

    def arrive(self, weights: list[int]) -> None:
        for start in range(0, len(weights), 100):
            some = weights[start : start + 100]
            numbers = range(len(self.crowd) + 1, len(self.crowd) + 1 + len(some))
            new = [web3.to_checksum_address("0x" + n.to_bytes(20, "big").hex()) for n in numbers]
            self.crowd += new
            self.vault.set(new, [weight * OSTR for weight in some], self.world.stranger.pays)
            self.heard(self.lots.crowd(new, self.world.stranger.pays))

    def stake(self, operator: str, weight: int) -> None:
        self.vault.set([operator], [weight * OSTR], self.world.stranger.pays)
        if self.lots.slotOf(operator) == 0:
            if weight >= MIN_WEIGHT:
                self.heard(self.lots.crowd([operator], self.world.stranger.pays))
        else:
            self.heard(self.lots.refresh(operator, self.world.stranger.pays))

    def stir(self, dice: random.Random) -> None:
        self.stake(dice.choice(self.crowd), dice.choice([0, 3, 9, 1_000, 2**60]))

    def heard(self, sent) -> None:
        for event in sent.events:
            if event.name == "OperatorJoined":
                self.model.change(sent.block_number, event["slot"], event["operator"], event["weight"])
            elif event.name == "OperatorLeft":
                self.model.change(sent.block_number, event["slot"], event["operator"], 0)
            elif event.name == "WeightChanged":
                slot = self.lots.slotOf(event["operator"])
                self.model.change(sent.block_number, slot, event["operator"], event["current"])

    def draw(self, request_id: int, seats: int, excluded: list[str] = ()) -> list[str]:
        return list(self.lots.draw(request_id, seats, list(excluded)))

    def seed(self, request_id: int) -> bytes:
        block = web3.eth.get_block(self.dice.seedBlockOf(request_id))
        return seed_of(self.dice.address, request_id, bytes(block["hash"]))

    def expected(self, request_id: int, seats: int, excluded: list[str] = ()) -> list[str]:
        return self.model.draw(self.seed(request_id), self.dice.seedBlockOf(request_id), seats, list(excluded))
