"""Who computed a block right: one product of integers, or a committee drawn by lot."""

from __future__ import annotations

import random

import pytest
from brownie import chain, project
from world.judges import (
    APPEAL,
    APPEAL_BOND,
    APPEAL_SEATS,
    CLOSE,
    COMMIT,
    JUROR_BOND,
    LOSER,
    PROOF,
    REVEAL,
    RULES,
    SEAT,
    SEATS,
    WINDOW,
    WINNER,
    WRONG_BLOCK,
    JudgedWorld,
    Quarrel,
    disagree,
    measure,
    products_of,
    quarrel,
    salt_of,
)
from world.lots import mine
from world.market import (
    CHALLENGE_WINDOW,
    D_ADJUDICATING,
    D_RESOLVED,
    D_SETTLED,
    MODEL,
    N_JAILED,
    OSTR,
    OVERTURNED,
    STAKE,
    UNBONDING,
    V_BOTH,
    V_LOSER,
    V_NOBODY,
    V_NONE,
    V_WINNER,
    honest,
    next_block_at,
    now,
)
from world.products import Claim, Products, WeightRow, dot, padded
from world.refusals import ANY, refused
from world.told import tell
from world.trace import root_of, sha

ZERO = "0x" + "00" * 20
RULE_NAMES = (
    "seats",
    "appeal_seats",
    "seat",
    "commit",
    "reveal",
    "appeal",
    "close",
    "proof",
    "juror_bond",
    "appeal_bond",
)


@pytest.fixture(scope="module")
def judged(house):
    return JudgedWorld(project.get_loaded_projects()[0])


@pytest.fixture
def world(judged):
    chain.snapshot()
    weights = judged.weights
    yield judged
    judged.check_conserved()
    judged.others.clear()
    judged.weights = weights
    chain.revert()


@pytest.fixture
def case(world: JudgedWorld) -> Quarrel:
    return quarrel(world)


def locked_of(world: JudgedWorld, juror) -> int:
    return int(world.vault.account(juror.address)["locked"])


class TestGivenTwoRows:
    @pytest.fixture
    def harness(self, world: JudgedWorld):
        return world.deployer.account.deploy(world.project.DotHarness)

    def check(self, harness, left: list[int], right: list[int]) -> None:
        assert harness.dot(padded(left), padded(right)[::-1]) == dot(left, right), len(left)

    def test_when_all_is_extreme_the_product_should_be_exact(self, harness):
        for length in (1, 31, 32, 33, 8_192):
            for left in (-128, 127, 0, -1):
                for right in (-128, 127):
                    self.check(harness, [left] * length, [right] * length)
        for extreme in (-128, 127):
            self.check(harness, [extreme] * 65_536, [extreme] * 65_536)

    def test_at_random_lengths_the_product_should_be_exact(self, harness):
        dice = random.Random(3)
        for length in [*range(1, 70), *[dice.randrange(1, 8_193) for _ in range(60)]]:
            left, right = ([dice.randrange(-128, 128) for _ in range(length)] for _ in range(2))
            self.check(harness, left, right)

    def test_when_a_single_byte_counts_it_should_be_met_by_its_own_partner(self, harness):
        for place in range(64):
            left, right = [0] * 64, [n - 32 for n in range(64)]
            left[place] = 1
            self.check(harness, left, right)


class TestGivenTheVectors:
    def test_they_should_be_those_of_the_sdk(self):
        """tests/sdk/crypto/test_weights.py holds the same ones."""

        def spread(step: int) -> tuple[int, ...]:
            return tuple((i * step + 11) % 256 - 128 for i in range(40))

        weights = [
            WeightRow(block, op, row, spread(37 + 2 * row)) for block in (3, 4) for op in (0, 7) for row in range(3)
        ]
        assert (
            root_of([row.value for row in weights]).hex()
            == "79df570c234bd46cdf6c587f152ee4fd770779e2c82a1e8d747744df3e75ed1d"
        )
        inputs = {(0, 0): spread(91), (0, 1): spread(5), (7, 0): spread(13)}
        claims = [
            Claim(w.op, limb, w.row, inputs[w.op, limb], dot(w.values, inputs[w.op, limb]))
            for w in weights
            for limb in range(3)
            if w.block == 4 and (w.op, limb) in inputs
        ]
        assert (
            Products(weights, claims).root.hex() == "78766add048257f49bb9f43de9a2ad1efe2c90e14fb77964e599c9121a9c5af6"
        )


class TestGivenALeaf:
    @pytest.mark.parametrize(("side", "verdict"), [(LOSER, V_LOSER), (WINNER, V_WINNER)])
    def test_when_a_side_claims_a_wrong_sum_it_should_be_found_guilty_at_once(
        self, world, case: Quarrel, side, verdict
    ):
        wrong = products_of(world).wrong_at(4)
        said = case.post(side, wrong).events["TracePosted"]
        node = world.serving[2 if side == LOSER else 0]
        assert (said["disputeId"], said["side"], said["nodeId"]) == (case.id, side, node.id)
        assert world.adjudicator.traceOf(case.id, side) == "0x" + wrong.root.hex()
        proven = case.prove(side, wrong.leaf(4)).events["LeafProven"]
        right = dot(wrong.claims[4].activations, world.weights[WRONG_BLOCK * 6 + 4].values)
        assert (proven["claimed"], proven["right"]) == (right + 1, right)
        assert case.job.dispute(2)["state"] == D_RESOLVED
        assert (case.case["closed"], case.case["verdict"], case.job.dispute(2)["verdict"]) == (True, verdict, verdict)
        assert not world.adjudicator.blamesRow(case.id)

    def test_when_both_are_wrong_both_should_be_guilty(self, world: JudgedWorld, case: Quarrel):
        first, second = products_of(world).wrong_at(0), products_of(world).wrong_at(1, by=-1)
        case.post(LOSER, first)
        case.post(WINNER, second)
        case.prove(WINNER, second.leaf(1))
        proven_at = now()
        assert case.job.dispute(2)["state"] == D_ADJUDICATING, "the other side may be proven wrong too"
        with refused("AlreadyProven", case.id, WINNER):
            case.prove(WINNER, second.leaf(1))
        with refused("CaseStillOpen", case.id, proven_at + PROOF, ANY):
            case.close()
        with refused("LeafDecides", case.id):
            case.seat()
        case.prove(LOSER, first.leaf(0))
        assert (case.case["verdict"], case.job.dispute(2)["verdict"]) == (V_BOTH, V_BOTH)

    def test_when_only_one_of_two_is_wrong_the_answer_should_come_after_the_proof_window(self, world, case: Quarrel):
        wrong = products_of(world).wrong_at(0)
        case.post(LOSER, wrong)
        case.post(WINNER, products_of(world))
        case.prove(LOSER, wrong.leaf(0))
        ends = now() + PROOF
        next_block_at(ends - 1)
        with refused("CaseStillOpen", case.id, ends, ends - 1):
            case.close()
        case.close()
        assert case.job.dispute(2)["verdict"] == V_LOSER

    def test_when_the_deadline_is_near_the_answer_should_not_wait(self, world: JudgedWorld, case: Quarrel):
        wrong = products_of(world).wrong_at(0)
        case.post(LOSER, wrong)
        case.post(WINNER, products_of(world))
        next_block_at(case.case["deadline"] - PROOF - CLOSE + 1)
        case.prove(LOSER, wrong.leaf(0))
        assert case.job.dispute(2)["verdict"] == V_LOSER

    def test_when_there_is_just_time_for_the_other_side_the_answer_should_wait(self, world: JudgedWorld, case: Quarrel):
        wrong = products_of(world).wrong_at(0)
        case.post(LOSER, wrong)
        case.post(WINNER, products_of(world))
        next_block_at(case.case["deadline"] - PROOF - CLOSE)
        case.prove(LOSER, wrong.leaf(0))
        assert case.case["ruleAt"] == now() + PROOF == case.case["deadline"] - CLOSE
        assert case.job.dispute(2)["state"] == D_ADJUDICATING

    def test_when_a_proof_comes_in_the_last_second_it_should_be_in_time(self, world: JudgedWorld, case: Quarrel):
        wrong = products_of(world).wrong_at(0)
        case.post(WINNER, wrong)
        next_block_at(case.case["deadline"] - 1)
        said = case.prove(WINNER, wrong.leaf(0)).events["CaseClosed"]
        assert (said["verdict"], said["inTime"]) == (V_WINNER, True)
        assert case.job.dispute(2)["verdict"] == V_WINNER

    def test_when_the_deadline_has_passed_a_proof_should_come_too_late(self, world: JudgedWorld, case: Quarrel):
        wrong = products_of(world).wrong_at(0)
        case.post(WINNER, wrong)
        next_block_at(case.case["deadline"])
        said = case.prove(WINNER, wrong.leaf(0)).events["CaseClosed"]
        assert (said["verdict"], said["inTime"]) == (V_WINNER, False)
        case.job.conclude(2)
        assert case.job.dispute(2)["verdict"] == V_LOSER, "the majority's word stands"

    def test_when_a_side_computed_right_no_proof_should_fit(self, world: JudgedWorld, case: Quarrel):
        right = products_of(world)
        wrong = right.wrong_at(4)
        case.post(WINNER, right)
        claim = right.claims[4]
        with refused("LeafIsRight", claim.op, 0, claim.row, claim.claimed):
            case.prove(WINNER, right.leaf(4))
        root = right.root
        with refused("ClaimMismatch", root, ANY):
            case.prove(WINNER, wrong.leaf(4))
        with refused("ClaimMismatch", root, ANY):
            case.prove(WINNER, right.leaf(4, activations=padded([1] * 40)))
        for forged in ({"passing": 1}, {"claim_index": 3}, {"claimed": claim.claimed - 1}, {"claim_proof": []}):
            with refused("ClaimMismatch", root, ANY):
                case.prove(WINNER, right.leaf(4, **forged))
        other = world.weights[0]
        for forged in (
            {"weight": other},
            {"op": 0},
            {"row": 2},
            {"length": 39},
            {"weight_index": 0},
            {"weight_proof": []},
        ):
            with refused("WeightsMismatch", ANY, ANY):
                case.prove(WINNER, right.leaf(4, **forged))
        assert (case.case["guilty"], case.case["closed"]) == (0, False)

    def test_when_another_than_the_stage_posts_it_should_be_refused(self, world: JudgedWorld, case: Quarrel):
        root = products_of(world).root
        for side, node in ((LOSER, world.serving[2]), (WINNER, world.serving[0])):
            for other in (world.stranger, world.serving[1].signer, case.signer(1 - side)):
                with refused("NotAccused", other, node.id):
                    case.post(side, root, by=other)
            with refused("SealMismatch", case.job.id, 2 if side == LOSER else 0, ANY, ANY):
                case.post(side, root, sealed=case.sealed(1 - side))
            case.post(side, root, by=node.operator)
            with refused("TraceAlreadyPosted", case.id, side):
                case.post(side, root)

    def test_when_a_later_stage_is_accused_its_lead_should_not_speak_for_it(self, world: JudgedWorld):
        job = world.submit()
        job.run(None, None, honest().wrong_at(6, 3))
        job.pinpoint(2, 0, 6)
        world.court.contest(job.proof(2, 0, 6), world.stranger.pays)
        case = Quarrel(world, job)
        lead, second = job.nodes_of(2)
        with refused("NotAccused", lead.signer, second.id):
            case.post(LOSER, sha(b"bogus"), by=lead.signer)
        case.post(LOSER, sha(b"mine"), by=second.signer)

    def test_when_it_is_malformed_it_should_be_refused(self, world: JudgedWorld, case: Quarrel):
        wrong = products_of(world).wrong_at(0)
        with refused("NoTrace", case.id, LOSER):
            case.prove(LOSER, wrong.leaf(0))
        with refused("ZeroRoot"):
            case.post(LOSER, bytes(32))
        case.post(LOSER, wrong)
        for length in (0, 65_537):
            with refused("LengthOutOfRange", length, 65_536):
                case.prove(LOSER, wrong.leaf(0, length=length))
        for forged in ({"weights": bytes(32)}, {"activations": bytes(96)}, {"length": 32}, {"length": 65}):
            with refused("LeafSizeWrong", ANY, ANY, ANY):
                case.prove(LOSER, wrong.leaf(0, **forged))
        with refused("UnknownCase", 77):
            world.adjudicator.proveLeaf(77, LOSER, wrong.leaf(0), world.stranger.pays)
        case.prove(LOSER, wrong.leaf(0))
        with refused("CaseIsClosed", case.id):
            case.post(WINNER, wrong)
        with refused("CaseIsClosed", case.id):
            case.close()

    def test_when_weights_were_published_after_the_job_they_should_not_count(self, world: JudgedWorld):
        model = world.serve_another(b"another")
        case = quarrel(world, model)
        wrong = products_of(world).wrong_at(0)
        case.post(LOSER, wrong)
        with refused("NoWeights", model, case.job.id, 0):
            case.prove(LOSER, wrong.leaf(0))
        with refused("NotPublisher", model, world.stranger, world.publisher):
            world.publish_weights(model, by=world.stranger)
        with refused("ZeroRoot"):
            world.adjudicator.publishWeights(model, bytes(32), world.publisher.pays)
        world.publish_weights(model)
        with refused("WeightsAlreadyPublished", model):
            world.publish_weights(model)
        assert world.adjudicator.weightsOf(model)[1] == case.job.id
        with refused("NoWeights", model, case.job.id, case.job.id):
            case.prove(LOSER, wrong.leaf(0))
        assert world.adjudicator.weightsOf(MODEL)[1] == 0, "no job was submitted before"

    def test_when_jurors_sit_already_a_proof_should_let_them_go(self, world: JudgedWorld, case: Quarrel):
        mine(2)
        case.seat()
        jurors = case.seats()
        assert [locked_of(world, juror) for juror in jurors] == [JUROR_BOND] * SEATS
        wrong = products_of(world).wrong_at(0)
        case.post(LOSER, wrong)
        case.prove(LOSER, wrong.leaf(0))
        assert [locked_of(world, juror) for juror in jurors] == [0] * SEATS
        assert [world.staked(juror) for juror in jurors] == [STAKE] * SEATS
        assert [world.vault.scoreOf(juror.address) for juror in jurors] == [0] * SEATS

    def test_when_an_appeal_runs_a_proof_should_return_its_bond(self, world: JudgedWorld, case: Quarrel):
        mine(2)
        case.seat()
        case.vote(V_LOSER, V_LOSER, V_LOSER)
        case.appeal()
        wrong = products_of(world).wrong_at(0)
        case.post(WINNER, wrong)
        case.prove(WINNER, wrong.leaf(0))
        assert world.adjudicator.openBonds() == 0
        assert world.adjudicator.balanceOf(world.challenger.address) == APPEAL_BOND

    def test_the_whole_way_to_the_money(self, world: JudgedWorld):
        """pinpoint → contest → leaf → rule → conclude: the outvoted one was right."""
        job = disagree(world)
        job.pinpoint(2, 0, 6)
        world.court.contest(job.proof(2, 0, 6), world.stranger.pays)
        case = Quarrel(world, job)
        assert case.case["deadline"] == now() + WINDOW
        wrong = products_of(world).wrong_at(5)
        case.post(WINNER, wrong)
        case.post(LOSER, products_of(world))
        case.prove(WINNER, wrong.leaf(5))
        next_block_at(case.case["ruleAt"])
        case.close()
        before = {node.id: world.staked(node.operator) for node in world.serving[:3]}
        job.conclude(2)
        assert (job.state, job.dispute(2)["state"]) == (OVERTURNED, D_SETTLED)
        assert world.balance(world.serving[2].operator) > 0, "paid like a winner"
        assert world.staked(world.serving[2].operator) == before[3]
        assert world.staked(world.serving[0].operator) == before[1] // 2
        assert world.status(world.serving[0]) == N_JAILED
        with refused("WinnerNotGuilty", job.id, 2):
            world.court.punishWinner(job.id, 2, 1, job.done[1].sealed, world.stranger.pays)
        assert world.staked(world.serving[1].operator) == before[2], "what one winner said is not held against another"
        assert world.court.withdraw(world.stranger.pays).return_value > 0

    def test_gas_should_stay_below_the_ceiling(self, world: JudgedWorld):
        gas = measure(world)
        tell(f"gas of a leaf: {gas}")
        assert gas["leaf_4096"] <= 500_000


@pytest.fixture
def sitting(case: Quarrel) -> Quarrel:
    """The first round's jurors are seated."""
    mine(2)
    case.seat()
    return case


class TestGivenACommittee:
    def test_when_it_is_seated_no_party_should_sit_and_bonds_be_locked(self, world: JudgedWorld, case: Quarrel):
        world.stake(world.challenger, 10**6 * OSTR)
        world.stake(world.stranger, 10**6 * OSTR)
        for actor in (world.challenger, world.stranger, *[node.operator for node in world.serving[:3:2]]):
            world.sortition.join(actor.pays)
        mine(16)
        case = quarrel(world)
        request_id = case.round()["requestId"]
        seed_block = world.randomness.seedBlockOf(request_id)
        with refused("SeedNotReady", request_id, seed_block, seed_block, on="BlockRandomness"):
            case.seat()
        for forged in ((case.sealed(WINNER), case.sealed(WINNER)), (case.sealed(LOSER), case.sealed(LOSER))):
            with refused("SealMismatch", case.job.id, ANY, ANY, ANY):
                world.adjudicator.seat(case.id, *forged, world.stranger.pays)
        said = case.seat().events
        assert said["CommitteeSeated"]["commitBy"] == now() + COMMIT
        assert said["CommitteeSeated"]["revealBy"] == now() + COMMIT + REVEAL
        jurors = case.seats()
        assert len(set(jurors)) == SEATS
        assert set(jurors) <= {*world.jurors, world.serving[1].operator}
        assert [event["juror"] for event in said["JurorSeated"]] == [juror.address for juror in jurors]
        assert [locked_of(world, juror) for juror in jurors] == [JUROR_BOND] * SEATS
        with refused("AlreadySeated", case.id, 0):
            case.seat()
        with refused("UnknownSeat", case.id, 0, SEATS):
            world.adjudicator.seatOf.transact(case.id, 0, SEATS, world.stranger.pays)

    @pytest.mark.parametrize("verdict", [V_LOSER, V_WINNER, V_BOTH, V_NOBODY])
    def test_when_all_agree_the_court_should_be_told_and_all_bonds_go(self, world, sitting: Quarrel, verdict):
        jurors = sitting.seats()
        sitting.vote(verdict, verdict, verdict)
        assert sitting.world.adjudicator.tally(sitting.id, 0) == verdict
        ends = sitting.round()["revealBy"] + APPEAL
        next_block_at(ends - 1)
        with refused("CaseStillOpen", sitting.id, ends, ends - 1):
            sitting.close()
        said = sitting.close().events["CaseClosed"]
        assert (said["verdict"], said["inTime"]) == (verdict, True)
        assert sitting.job.dispute(2)["verdict"] == verdict
        assert world.adjudicator.blamesRow(sitting.id)
        assert [locked_of(world, juror) for juror in jurors] == [0] * SEATS
        assert [world.vault.scoreOf(juror.address) for juror in jurors] == [1] * SEATS

    def test_when_one_votes_otherwise_or_is_silent_the_others_should_share_its_bond(self, world, sitting: Quarrel):
        for lazy in (None, V_LOSER):
            chance = sitting if lazy is None else self.next_case(world)
            jurors = chance.seats()
            before = [world.staked(juror) for juror in jurors]
            paid = [world.adjudicator.balanceOf(juror.address) for juror in jurors]
            treasury = world.adjudicator.balanceOf(world.treasury.address)
            chance.vote(V_WINNER, lazy, V_WINNER)
            chance.wait_out_appeal()
            said = chance.close().events
            assert (said["JurorLost"]["juror"], said["JurorLost"]["slashed"]) == (jurors[1].address, JUROR_BOND)
            assert chance.job.dispute(2)["verdict"] == V_WINNER
            assert [world.staked(juror) for juror in jurors] == [before[0], before[1] - JUROR_BOND, before[2]]
            share = JUROR_BOND // 2
            got = [world.adjudicator.balanceOf(juror.address) for juror in jurors]
            assert got == [paid[0] + share, paid[1], paid[2] + share]
            assert world.adjudicator.balanceOf(world.treasury.address) - treasury == JUROR_BOND - 2 * share == 1
        juror = next(actor for actor in jurors if world.adjudicator.balanceOf(actor.address))
        owed = world.adjudicator.balanceOf(juror.address)
        assert world.adjudicator.withdraw(juror.pays).return_value == owed
        with refused("NothingToWithdraw", juror):
            world.adjudicator.withdraw(juror.pays)

    @staticmethod
    def next_case(world) -> Quarrel:
        case = quarrel(world)
        mine(2)
        case.seat()
        return case

    def test_when_votes_are_split_it_should_be_a_draw_in_which_only_the_silent_lose(self, world, sitting: Quarrel):
        jurors = sitting.seats()
        sitting.vote(V_LOSER, V_WINNER, None)
        assert world.adjudicator.tally(sitting.id, 0) == V_NOBODY
        sitting.wait_out_appeal()
        sitting.close()
        assert sitting.job.dispute(2)["verdict"] == V_NOBODY
        assert [STAKE - world.staked(juror) for juror in jurors] == [0, 0, JUROR_BOND]
        assert [world.vault.scoreOf(juror.address) for juror in jurors] == [0, 0, 0]
        assert [world.adjudicator.balanceOf(juror.address) for juror in jurors[:2]] == [JUROR_BOND // 2] * 2

    def test_when_no_more_than_half_reveal_the_majoritys_word_should_stand(self, world, sitting: Quarrel):
        jurors = sitting.seats()
        sitting.vote(None, V_WINNER, None)
        sitting.wait_out_appeal()
        said = sitting.close().events["CaseClosed"]
        assert (said["verdict"], said["inTime"]) == (V_NONE, False)
        assert sitting.job.dispute(2)["state"] == D_ADJUDICATING
        assert [STAKE - world.staked(juror) for juror in jurors] == [JUROR_BOND, 0, JUROR_BOND]
        assert world.adjudicator.balanceOf(jurors[1].address) == 2 * JUROR_BOND
        next_block_at(sitting.case["deadline"])
        sitting.job.conclude(2)
        assert sitting.job.dispute(2)["verdict"] == V_LOSER

    def test_when_all_are_silent_their_bonds_should_be_the_treasurys(self, world: JudgedWorld, sitting: Quarrel):
        sitting.wait_out_appeal()
        sitting.close()
        assert world.adjudicator.balanceOf(world.treasury.address) == SEATS * JUROR_BOND

    def test_when_a_juror_takes_out_what_it_can_its_bond_should_still_be_lost(self, world: JudgedWorld, case: Quarrel):
        mine(2)
        case.seat()
        poor = case.seats()[2]
        world.vault.requestUnstake(STAKE - JUROR_BOND, poor.pays)
        case.vote(V_LOSER, V_LOSER, None)
        case.wait_out_appeal()
        case.close()
        assert world.staked(poor) == STAKE - JUROR_BOND

    def test_when_a_bond_is_not_free_any_more_the_operator_should_be_passed_over(self, world, case: Quarrel):
        for actor in world.jurors[1:]:
            world.vault.requestUnstake(STAKE - JUROR_BOND + 1, actor.pays)
        mine(2)
        said = case.seat().events["TooFewJurors"]
        assert (said["found"], said["needed"]) in ((0, 2), (1, 2))
        assert all(locked_of(world, actor) == 0 for actor in world.jurors)
        with refused("AlreadySeated", case.id, 0):
            case.seat()
        for call in (case.close, case.appeal):
            with refused("NoCommittee", case.id):
                call()
        next_block_at(case.case["deadline"])
        case.job.conclude(2)
        assert case.job.dispute(2)["verdict"] == V_LOSER

    def test_when_one_drawn_has_no_free_bond_the_next_in_turn_should_sit(self, world: JudgedWorld, case: Quarrel):
        mine(2)
        parties = [world.serving[0].operator, world.serving[2].operator, world.challenger, world.stranger]
        excluded = [actor.address for actor in parties]
        drawn = world.sortition.draw(case.round()["requestId"], 2 * SEATS, excluded)
        poor = next(actor for actor in world.jurors if actor.address == drawn[1])
        world.vault.requestUnstake(STAKE - JUROR_BOND + 1, poor.pays)
        case.seat()
        assert [juror.address for juror in case.seats()] == [drawn[0], *drawn[2 : SEATS + 1]]
        assert locked_of(world, poor) == 0

    def test_when_all_have_left_too_few_should_be_found(self, world: JudgedWorld):
        for actor in world.jurors:
            world.sortition.leave(actor.pays)
        mine(16)
        case = quarrel(world)
        mine(2)
        assert case.seat().events["TooFewJurors"]["found"] == 0

    def test_when_nobody_seats_them_in_time_it_should_be_too_late(self, world: JudgedWorld, case: Quarrel):
        ends = case.round()["seatBy"]
        next_block_at(ends - 1)
        chain.mine()
        with refused("SeatingClosed", case.id, ends, ANY):
            case.seat()


class TestGivenAVote:
    def test_when_it_is_anothers_it_should_be_refused(self, world: JudgedWorld, sitting: Quarrel):
        jurors = sitting.seats()
        with refused("NotJuror", world.stranger, jurors[0]):
            sitting.commit(0, V_LOSER, by=world.stranger)
        with refused("NotJuror", jurors[1], jurors[0]):
            sitting.commit(0, V_LOSER, by=jurors[1])
        with refused("UnknownSeat", sitting.id, 0, SEATS):
            sitting.commit(SEATS, V_LOSER, by=jurors[0])
        with refused("ZeroCommitment"):
            world.adjudicator.commitVote(sitting.id, 0, bytes(32), jurors[0].pays)

    def test_when_it_is_committed_twice_it_should_be_refused(self, sitting: Quarrel):
        sitting.commit(0, V_LOSER)
        with refused("AlreadyCommitted", sitting.id, 0):
            sitting.commit(0, V_WINNER)

    def test_when_a_commitment_is_copied_it_should_not_open(self, sitting: Quarrel):
        first = sitting.seats()[0]
        copied = sitting.hash(0, first, V_LOSER)
        sitting.commit(0, V_LOSER)
        sitting.commit(1, V_LOSER, commitment=copied)
        sitting.commit(2, V_LOSER)
        sitting.reveal(0, V_LOSER)
        with refused("CommitmentMismatch", copied, ANY):
            sitting.reveal(1, V_LOSER, salt=salt_of(first))
        with refused("CommitmentMismatch", copied, ANY):
            sitting.reveal(1, V_LOSER, by=first)

    def test_when_another_vote_or_salt_is_revealed_it_should_be_refused(self, sitting: Quarrel):
        for seat in range(SEATS):
            sitting.commit(seat, V_LOSER)
        with refused("CommitmentMismatch", sitting.hash(0, sitting.seats()[0], V_LOSER), ANY):
            sitting.reveal(0, V_WINNER)
        with refused("CommitmentMismatch", ANY, ANY):
            sitting.reveal(0, V_LOSER, salt=sha(b"another"))
        with refused("NoVote"):
            sitting.reveal(0, V_NONE)
        sitting.reveal(0, V_LOSER)
        with refused("AlreadyRevealed", sitting.id, 0):
            sitting.reveal(0, V_LOSER)

    def test_when_a_node_s_signer_votes_for_its_operator_it_should_count(self, world: JudgedWorld, sitting: Quarrel):
        serving = {node.operator: node.signer for node in world.serving}
        seat, juror = next((i, juror) for i, juror in enumerate(sitting.seats()) if juror in serving)
        sitting.commit(seat, V_LOSER, by=serving[juror])
        next_block_at(sitting.round()["commitBy"])
        with refused("CommitmentMismatch", ANY, ANY):
            sitting.reveal(seat, V_LOSER)
        sitting.reveal(seat, V_LOSER, by=serving[juror])
        assert world.adjudicator.seatOf(sitting.id, 0, seat)["vote"] == V_LOSER

    def test_windows_should_close_to_the_second(self, sitting: Quarrel):
        commit_by, reveal_by = sitting.round()["commitBy"], sitting.round()["revealBy"]
        sitting.commit(0, V_LOSER)
        next_block_at(commit_by - 2)
        with refused("RevealNotOpen", sitting.id, commit_by, commit_by - 2):
            sitting.reveal(0, V_LOSER)
        sitting.commit(1, V_LOSER)
        with refused("CommitClosed", sitting.id, commit_by, commit_by):
            sitting.commit(2, V_LOSER)
        with refused("NotCommitted", sitting.id, 2):
            sitting.reveal(2, V_LOSER)
        next_block_at(reveal_by - 1)
        sitting.reveal(0, V_LOSER)
        with refused("RevealClosed", sitting.id, reveal_by, reveal_by):
            sitting.reveal(1, V_LOSER)

    def test_reveals_should_open_with_the_deadline_to_the_second(self, sitting: Quarrel):
        sitting.commit(0, V_LOSER)
        next_block_at(sitting.round()["commitBy"])
        sitting.reveal(0, V_LOSER)
        assert sitting.round()["revealBy"] == now(), "nobody is left to wait for"


class TestGivenAnAppeal:
    def test_when_it_turns_the_verdict_its_bond_should_return(self, world: JudgedWorld, sitting: Quarrel):
        first = sitting.seats()
        sitting.vote(V_LOSER, V_LOSER, V_LOSER)
        said = sitting.appeal().events["Appealed"]
        assert (said["appellant"], said["verdict"], said["bond"]) == (world.challenger.address, V_LOSER, APPEAL_BOND)
        assert world.adjudicator.openBonds() == APPEAL_BOND
        assert sitting.round()["seatBy"] == now() + SEAT
        with refused("AlreadyAppealed", sitting.id):
            sitting.appeal()
        mine(2)
        sitting.seat()
        second = sitting.seats()
        assert len(second) == APPEAL_SEATS
        assert not set(first) & set(second)
        sitting.vote(V_WINNER, V_WINNER, V_WINNER, V_WINNER, V_LOSER)
        said = sitting.close().events
        assert sitting.job.dispute(2)["verdict"] == V_WINNER
        assert (said["AppealBondClosed"]["returned"], world.adjudicator.openBonds()) == (True, 0)
        lost = {event["juror"] for event in said["JurorLost"]}
        assert lost == {juror.address for juror in [*first, second[4]]}
        share = 4 * JUROR_BOND // 4
        held = {juror: world.adjudicator.balanceOf(juror.address) for juror in [*first, *second]}
        assert held == dict.fromkeys(first, 0) | dict.fromkeys(second[:4], share) | {second[4]: 0}
        assert world.adjudicator.balanceOf(world.challenger.address) == APPEAL_BOND

    def test_when_it_confirms_its_bond_should_be_the_jurors(self, world: JudgedWorld, sitting: Quarrel):
        first = sitting.seats()
        sitting.vote(V_LOSER, V_LOSER, V_WINNER)
        sitting.appeal()
        mine(2)
        sitting.seat()
        second = sitting.seats()
        sitting.vote(*[V_LOSER] * APPEAL_SEATS)
        assert sitting.close().events["AppealBondClosed"]["returned"] is False
        pot = APPEAL_BOND + JUROR_BOND
        for juror in [*first[:2], *second]:
            assert world.adjudicator.balanceOf(juror.address) == pot // 7
        assert world.adjudicator.balanceOf(world.treasury.address) == pot % 7
        assert sitting.job.dispute(2)["verdict"] == V_LOSER

    def test_when_nobody_seats_the_second_round_the_first_should_stand(self, world: JudgedWorld, sitting: Quarrel):
        first = sitting.seats()
        sitting.vote(V_WINNER, V_WINNER, V_WINNER)
        sitting.appeal()
        ends = sitting.round()["seatBy"]
        next_block_at(ends - 1)
        with refused("CaseStillOpen", sitting.id, ends, ends - 1):
            sitting.close()
        sitting.close()
        assert sitting.job.dispute(2)["verdict"] == V_WINNER
        assert world.adjudicator.balanceOf(first[0].address) == APPEAL_BOND // 3

    def test_when_too_few_are_found_for_it_the_first_should_stand_and_the_bond_return(self, world, sitting: Quarrel):
        sitting.vote(V_WINNER, V_WINNER, V_WINNER)
        for actor in set(world.jurors) - set(sitting.seats()):
            world.vault.requestUnstake(STAKE, actor.pays)
        sitting.appeal()
        mine(2)
        assert sitting.seat().events["TooFewJurors"]["needed"] == APPEAL_SEATS // 2 + 1
        assert sitting.close().events["AppealBondClosed"]["returned"] is True
        assert sitting.job.dispute(2)["verdict"] == V_WINNER

    def test_when_too_few_reveal_in_it_the_first_should_stand(self, world: JudgedWorld, sitting: Quarrel):
        sitting.vote(V_WINNER, V_WINNER, V_WINNER)
        sitting.appeal()
        mine(2)
        sitting.seat()
        sitting.vote(V_LOSER, V_LOSER, None, None, None)
        ends = sitting.round()["revealBy"]
        if now() < ends:
            next_block_at(ends)
        sitting.close()
        assert sitting.job.dispute(2)["verdict"] == V_WINNER

    def test_when_votes_may_still_be_revealed_in_it_it_should_not_be_closed(self, world: JudgedWorld, sitting: Quarrel):
        sitting.vote(V_WINNER, V_WINNER, V_WINNER)
        sitting.appeal()
        mine(2)
        sitting.seat()
        for seat in range(APPEAL_SEATS):
            sitting.commit(seat, V_LOSER)
        sitting.reveal(0, V_LOSER)
        ends = sitting.round()["revealBy"]
        next_block_at(ends - 1)
        with refused("CaseStillOpen", sitting.id, ends, ends - 1):
            sitting.close()
        sitting.close()
        assert now() == ends
        assert sitting.job.dispute(2)["verdict"] == V_WINNER

    def test_its_window_should_be_half_open(self, sitting: Quarrel):
        for seat in range(SEATS):
            sitting.commit(seat, V_LOSER)
        sitting.reveal(0, V_LOSER)
        opens = sitting.round()["revealBy"]
        with refused("AppealNotOpen", sitting.id, opens, ANY):
            sitting.appeal()
        closes = opens + APPEAL
        next_block_at(closes)
        with refused("AppealClosed", sitting.id, closes, closes):
            sitting.appeal()

    def test_when_reveals_have_just_ended_it_should_be_taken_and_not_a_second_before(self, sitting: Quarrel):
        for seat in range(SEATS):
            sitting.commit(seat, V_LOSER)
        sitting.reveal(0, V_LOSER)
        opens = sitting.round()["revealBy"]
        next_block_at(opens - 1)
        with refused("AppealNotOpen", sitting.id, opens, opens - 1):
            sitting.appeal()
        sitting.appeal()
        assert now() == opens

    def test_when_it_comes_in_the_last_second_it_should_count(self, sitting: Quarrel):
        sitting.vote(V_LOSER, V_LOSER, V_LOSER)
        next_block_at(sitting.round()["revealBy"] + APPEAL - 1)
        sitting.appeal()

    def test_when_all_take_their_whole_time_the_answer_should_still_be_in_time(self, sitting: Quarrel):
        """The longest way fits: to the second but for the call that closes."""
        case = sitting
        opened = case.case["deadline"] - WINDOW
        case.commit(0, V_LOSER)
        case.commit(1, V_LOSER)
        next_block_at(case.round()["revealBy"] - 2)
        case.reveal(0, V_LOSER)
        chain.mine()
        next_block_at(case.round()["revealBy"] + APPEAL - 1)
        case.appeal()
        next_block_at(case.round()["seatBy"] - 1)
        case.seat()
        for seat in range(APPEAL_SEATS - 1):
            case.commit(seat, V_WINNER)
        next_block_at(case.round()["commitBy"])
        for seat in range(APPEAL_SEATS - 2):
            case.reveal(seat, V_WINNER)
        next_block_at(case.round()["revealBy"])
        assert case.close().events["CaseClosed"]["inTime"] is True
        assert now() <= opened + WINDOW - CLOSE


class TestGivenAnAdjudicator:
    def test_when_it_is_set_up_wrongly_it_should_be_refused(self, world: JudgedWorld):
        def deploy(market=world.market, sortition=world.sortition, **changes):
            rules = dict(zip(RULE_NAMES, RULES, strict=True)) | changes
            return world.deployer.account.deploy(world.project.Adjudicator, market, sortition, tuple(rules.values()))

        for given in ({"market": ZERO}, {"sortition": ZERO}):
            with refused("ZeroAddress", on="Adjudicator"):
                deploy(**given)
        for seats, appeal_seats in ((0, 5), (5, 5), (6, 5), (7, 32)):
            with refused("SeatsOutOfRange", seats, appeal_seats, 31, on="Adjudicator"):
                deploy(seats=seats, appeal_seats=appeal_seats)
        for name in RULE_NAMES[2:]:
            with refused("ZeroRule", on="Adjudicator"):
                deploy(**{name: 0})
        with refused("WindowTooLong", UNBONDING, UNBONDING, on="Adjudicator"):
            deploy(appeal=APPEAL + UNBONDING - WINDOW)
        fresh = deploy(appeal=APPEAL + UNBONDING - WINDOW - 1)
        assert fresh.windowSeconds() == UNBONDING - 1
        with refused("NotDeployer", world.stranger, world.deployer):
            fresh.initialize(world.court, world.stranger.pays)
        with refused("ZeroAddress"):
            fresh.initialize(ZERO, world.deployer.pays)
        fresh.initialize(world.court, world.deployer.pays)
        with refused("AlreadyInitialized", world.court):
            fresh.initialize(world.court, world.deployer.pays)

    def test_it_should_say_what_it_keeps_to(self, world: JudgedWorld):
        assert tuple(world.adjudicator.rules()) == RULES
        assert world.adjudicator.windowSeconds() == WINDOW > CHALLENGE_WINDOW

    def test_when_another_than_the_court_asks_it_should_be_refused(self, world: JudgedWorld):
        question = (1, MODEL, 2, 0, 6, 2, *[bytes(32)] * 4)
        with refused("NotCourt", world.stranger, world.court):
            world.adjudicator.judge(1, question, now(), world.stranger.pays)
