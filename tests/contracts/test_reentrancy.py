"""A token that calls back while it moves gets nothing for it."""

from __future__ import annotations

import pytest
from world.market import (
    INPUT,
    JAIL,
    MAX_UNITS,
    MODEL,
    NOBODY,
    POSSESSION,
    PRICE,
    STAKE_RATIO,
    UNBONDING,
    World,
    now,
)


@pytest.fixture
def trap(world: World):
    """A market over a hostile token; the token itself is a requester that has a refund to withdraw."""
    deploy, project = world.deployer.account.deploy, world.project
    token = deploy(project.ReentrantToken, world.deployer.address, 10**30)
    vault = deploy(project.StakeVault, token, UNBONDING, NOBODY)
    nodes = deploy(project.NodeRegistry, vault, JAIL)
    shards = deploy(project.ShardRegistry, nodes, world.models, vault, STAKE_RATIO, POSSESSION)
    market = deploy(project.JobMarket, deploy(project.JobSettler, shards, world.params, world.treasury.address))
    market.setOrchestrator(world.orchestrator.address, True, world.deployer.pays)
    cap = MAX_UNITS * PRICE
    token.transfer(token, 5 * cap, world.deployer.pays)
    token.act(token, token.approve.encode_input(market, 2**256 - 1), world.stranger.pays)
    request = (MODEL, INPUT, 1, MAX_UNITS, cap, now() + 1_000, world.orchestrator.address)
    for _ in range(2):
        token.act(market, market.submit.encode_input(request), world.stranger.pays)
    token.act(market, market.cancel.encode_input(1), world.stranger.pays)
    return token, market, cap, request


class TestGivenATokenThatCallsBack:
    def test_when_it_withdraws_again_during_a_withdrawal_it_should_get_its_balance_once(self, world: World, trap):
        token, market, cap, _ = trap
        token.callOnTransfer(market, market.withdraw.encode_input(), world.stranger.pays)
        before = token.balanceOf(token)
        token.act(market, market.withdraw.encode_input(), world.stranger.pays)
        assert not token.succeeded()
        assert token.balanceOf(token) == before + cap
        assert (market.balanceOf(token), token.balanceOf(market)) == (0, cap), "the other job's escrow is untouched"

    def test_when_it_withdraws_while_it_submits_it_should_get_its_balance_once(self, world: World, trap):
        token, market, cap, request = trap
        token.callOnTransfer(market, market.withdraw.encode_input(), world.stranger.pays)
        before = token.balanceOf(token)
        token.act(market, market.submit.encode_input(request), world.stranger.pays)
        assert token.balanceOf(token) == before, "a refund came and an escrow went"
        assert (market.balanceOf(token), token.balanceOf(market)) == (0, 2 * cap), "two jobs' escrow is there"

    def test_when_it_submits_while_it_submits_both_jobs_should_have_their_escrow(self, world: World, trap):
        token, market, cap, request = trap
        token.callOnTransfer(market, market.submit.encode_input(request), world.stranger.pays)
        token.act(market, market.submit.encode_input(request), world.stranger.pays)
        made = market.jobCount()
        held = sum(market.job(job)["escrow"] for job in range(1, made + 1))
        assert (market.balanceOf(token), token.balanceOf(market)) == (cap, cap + held)
