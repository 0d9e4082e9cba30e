"""Both sides of a possession challenge: making one and seeing it through, and answering one."""

from __future__ import annotations

import time
from collections.abc import Callable

from ostraka.chain import Market, Sender
from ostraka.chain.abi import Call
from ostraka.chain.views import ChallengeView
from ostraka.errors import HashMismatch, InsufficientFunds, TransactionFailed, Unavailable
from ostraka.model import MAX_MANIFEST_BYTES, ManifestBase, PossessionProof, load_manifest, prove_possession
from ostraka.store import ContentStore, cid_of_digest
from ostraka.types import OSTR, ChallengeState, NodeId

POLL_S = 0.5
PATIENCE_S = 60.0  # for the chain block behind the challenge


def challenge(market: Market, challenger: Sender, node_id: NodeId, model_id: bytes) -> int:
    """Pays the bond and challenges; returns the challenge's number. Raises `InsufficientFunds` or `TransactionFailed`."""
    bond = market.challenge_bond()
    held = market.token_balance(challenger.address)
    if held < bond:
        raise InsufficientFunds(
            f"challenger {challenger.address}: holds {held / OSTR:g} OSTR, the bond is {bond / OSTR:g}; get more"
        )
    if market.allowance(challenger.address, "ShardRegistry") < bond:
        challenger.send(market.approve("ShardRegistry", bond))
    challenger.send(market.challenge(node_id, model_id))
    return market.open_challenge(node_id, model_id)


def see_through(
    market: Market, challenger: Sender, challenge_id: int, report: Callable[[str], None] = lambda text: None
) -> ChallengeState:
    """Draws the seed, waits for the answer or the deadline, and has a node that was silent slashed."""
    report("waiting for the chain block that decides")
    end = time.monotonic() + PATIENCE_S
    while True:
        seen = market.challenge_view(challenge_id)
        if seen.state is not ChallengeState.OPEN:
            return seen.state
        if any(seen.seed):
            break
        if market.possession_seed(seen) is not None:
            _try(challenger, market.draw(challenge_id))
            continue
        if market.seed_is_lost(seen):
            _try(challenger, market.void_challenge(challenge_id))
            continue
        if time.monotonic() > end:
            raise Unavailable(f"challenge {challenge_id}: the chain makes no chain blocks; try again")
        time.sleep(POLL_S)
    report("waiting for the answer")
    while (seen := market.challenge_view(challenge_id)).state is ChallengeState.OPEN:
        if market.now() >= seen.deadline:
            _try(challenger, market.fail_challenge(challenge_id))
        else:
            time.sleep(POLL_S)
    return seen.state


def answer(market: Market, node: Sender, store: ContentStore, challenge_id: int) -> ChallengeState:
    """Answers with bytes from `store`. Open afterwards: the chain block that decides is not there yet, so try again.

    Raises `HashMismatch` where the store's file is not the published one, `StoreUnavailable` where it is not there, and
    `TransactionFailed` where the answer does not count.
    """
    seen = market.challenge_view(challenge_id)
    if seen.state is not ChallengeState.OPEN:
        return seen.state
    if market.seed_is_lost(seen):
        node.send(market.void_challenge(challenge_id))
    else:
        seed = market.possession_seed(seen)
        if seed is None:
            return ChallengeState.OPEN
        manifest = load_manifest(store.get(cid_of_digest(seen.model_id), max_bytes=MAX_MANIFEST_BYTES))
        node.send(market.prove(challenge_id, _proof(manifest, seen, seed, store)))
    return market.challenge_view(challenge_id).state


def _proof(manifest: ManifestBase, seen: ChallengeView, seed: bytes, store: ContentStore) -> PossessionProof:
    def load(index: int) -> bytes:
        block = manifest.blocks[index]
        return store.get(block.cid, max_bytes=block.bytes)

    try:
        return prove_possession([block.chunks for block in manifest.blocks], seen.span, seed, load)
    except ValueError as error:
        raise HashMismatch(f"{manifest.name}: {error}; the publisher's manifest is wrong") from error


def _try(sender: Sender, call: Call) -> None:
    """Others may draw, void or fail it in the same moment: then what they did is seen in the next round."""
    try:
        sender.send(call)
    except TransactionFailed:
        time.sleep(POLL_S)
