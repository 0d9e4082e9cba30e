"""Tokens, stake, nodes, models and shards as typed calls."""

from __future__ import annotations

from eth_utils.crypto import keccak

from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.contracts import Contracts
from ostraka.chain.views import AccountView, ChallengeView, NodeView
from ostraka.errors import UsageError
from ostraka.model import ManifestBase, PossessionProof
from ostraka.types import Address, BlockSpan, ChallengeState, ModelId, NodeId, NodeStatus

EXACT = 0  # IModelRegistry.Profile
KEPT_BLOCKS = 256  # FutureBlock.KEPT


class Registries(Contracts):
    """Everything but jobs."""

    # ── tokens and stake ──

    def token_balance(self, account: str) -> int:
        return int(self._read("OstrakaToken", "balanceOf", account))

    def supply(self) -> int:
        return int(self._read("OstrakaToken", "totalSupply"))

    def allowance(self, owner: str, spender: str) -> int:
        return int(self._read("OstrakaToken", "allowance", owner, self.deployment.address(spender)))

    def approve(self, spender: str, amount: int) -> Call:
        return self._call("OstrakaToken", "approve", self.deployment.address(spender), amount)

    def transfer(self, to: str, amount: int) -> Call:
        return self._call("OstrakaToken", "transfer", to, amount)

    def stake(self, amount: int) -> Call:
        return self._call("StakeVault", "stake", amount)

    def request_unstake(self, amount: int) -> Call:
        return self._call("StakeVault", "requestUnstake", amount)

    def withdraw_stake(self) -> Call:
        return self._call("StakeVault", "withdraw")

    def account(self, operator: str) -> AccountView:
        return AccountView(*self._read("StakeVault", "account", operator))

    def free_stake(self, operator: str) -> int:
        return int(self._read("StakeVault", "free", operator))

    # ── nodes ──

    def register(self, signer: str, endpoint: str, proof: bytes, stake: int = 0) -> Call:
        """Stakes `stake` along with it, which must be approved to the vault."""
        return self._call("NodeRegistry", "register", signer, endpoint, proof, stake)

    def rotate_key(self, node_id: NodeId, signer: str, proof: bytes) -> Call:
        return self._call("NodeRegistry", "rotateKey", node_id, signer, proof)

    def drain(self, node_id: NodeId) -> Call:
        return self._call("NodeRegistry", "drain", node_id)

    def resume(self, node_id: NodeId) -> Call:
        return self._call("NodeRegistry", "resume", node_id)

    def exit(self, node_id: NodeId) -> Call:
        """Once to take no more work, once more, when none of the operator's stake is locked, to be off the register."""
        return self._call("NodeRegistry", "exit", node_id)

    def unjail(self, node_id: NodeId) -> Call:
        return self._call("NodeRegistry", "unjail", node_id)

    def set_node_endpoint(self, node_id: NodeId, endpoint: str) -> Call:
        return self._call("NodeRegistry", "setEndpoint", node_id, endpoint)

    def node(self, node_id: NodeId) -> NodeView:
        operator, _, status, _, signer = self._read("NodeRegistry", "node", node_id)
        return NodeView(operator, signer, NodeStatus(status))

    def endpoint(self, node_id: NodeId) -> str:
        """As the operator last announced it; it is in events only."""
        seen = [e for e in self._events(ev.NodeRegistered, ev.NodeEndpointChanged) if e.node_id == node_id]  # type: ignore[attr-defined]
        return str(seen[-1].endpoint) if seen else ""  # type: ignore[attr-defined]

    def node_of_signer(self, signer: str) -> NodeId:
        """0 when the key signs for no node."""
        return NodeId(int(self._read("NodeRegistry", "nodeOfSigner", signer)))

    def signer_of(self, node_id: NodeId) -> Address:
        return Address(self._read("NodeRegistry", "signerOf", node_id))

    # ── models and shards ──

    def publish(self, manifest: ManifestBase, max_units: int, price_per_unit: int, royalty_bps: int) -> Call:
        return self._call(
            "ModelRegistry",
            "publish",
            manifest.digest,
            bytes.fromhex(manifest.shard_root),
            len(manifest.blocks),
            max_units,
            price_per_unit,
            royalty_bps,
            EXACT,
            manifest.name,
        )

    def price_of(self, model_id: bytes) -> int:
        """Wei of a position of a replica, for jobs that are submitted now."""
        return int(self._read("ModelRegistry", "offer", model_id)[2])

    def published_models(self) -> list[ev.ModelPublished]:
        return [e for e in self._events(ev.ModelPublished) if isinstance(e, ev.ModelPublished)]

    def minimum_stake(self, model_id: bytes) -> int:
        """In wei: free stake that a claim asks for, and staked that must stay behind it."""
        return int(self._read("ShardRegistry", "minimumStake", model_id))

    def claim(self, node_id: NodeId, model_id: ModelId, span: BlockSpan) -> Call:
        return self._call("ShardRegistry", "claim", node_id, model_id, span.start, span.stop)

    def release(self, node_id: NodeId, model_id: ModelId) -> Call:
        return self._call("ShardRegistry", "release", node_id, model_id)

    def drop(self, node_id: NodeId, model_id: bytes) -> Call:
        """Ends another's claim. Refused with `StakeSuffices` unless its operator has less staked than `minimum_stake`."""
        return self._call("ShardRegistry", "drop", node_id, model_id)

    def span(self, node_id: NodeId, model_id: bytes) -> BlockSpan | None:
        start, stop = self._read("ShardRegistry", "spanOf", node_id, model_id)
        return BlockSpan(start, stop) if stop else None

    def claimed_models(self, node_id: NodeId) -> list[ModelId]:
        """Every model of which the node has claimed a span, ever."""
        claims = [e for e in self._events(ev.ShardClaimed) if isinstance(e, ev.ShardClaimed) and e.node_id == node_id]
        return [ModelId(model) for model in dict.fromkeys(e.model_id for e in claims)]

    def shard_root(self, model_id: bytes) -> bytes:
        return bytes(self._read("ModelRegistry", "shardsOf", model_id)[0])

    # ── possession challenges ──

    def challenge(self, node_id: NodeId, model_id: bytes) -> Call:
        """Takes the bond, which must be approved to the ShardRegistry."""
        return self._call("ShardRegistry", "challenge", node_id, model_id)

    def draw(self, challenge_id: int) -> Call:
        return self._call("ShardRegistry", "draw", challenge_id)

    def prove(self, challenge_id: int, proof: PossessionProof) -> Call:
        values = (proof.chunk_count, proof.chunk_root, proof.block_proof, proof.chunk, proof.chunk_proof)
        return self._call("ShardRegistry", "prove", challenge_id, values)

    def fail_challenge(self, challenge_id: int) -> Call:
        return self._call("ShardRegistry", "fail", challenge_id)

    def void_challenge(self, challenge_id: int) -> Call:
        return self._call("ShardRegistry", "void", challenge_id)

    def withdraw_bonds(self) -> Call:
        return self._call("ShardRegistry", "withdraw")

    def bonds_owed(self, account: str) -> int:
        """What `withdraw_bonds` would pay."""
        return int(self._read("ShardRegistry", "balanceOf", account))

    def challenge_bond(self) -> int:
        return int(self._read("ShardRegistry", "possessionTerms")[2])

    def challengeable_at(self, node_id: NodeId, model_id: bytes) -> int:
        return int(self._read("ShardRegistry", "challengeableAt", node_id, model_id))

    def open_challenge(self, node_id: NodeId, model_id: bytes) -> int:
        """0 where there is none."""
        return int(self._read("ShardRegistry", "openChallenge", node_id, model_id))

    def challenge_view(self, challenge_id: int) -> ChallengeView:
        """Raises `UsageError` for a number that no challenge has."""
        state, node_id, start, stop, request_block, deadline, challenger, penalty, _, model_id, seed = self._read(
            "ShardRegistry", "challengeOf", challenge_id
        )
        if not state:
            raise UsageError(f"challenge {challenge_id}: there is none of that number")
        return ChallengeView(
            challenge_id,
            ChallengeState(state),
            node_id,
            BlockSpan(start, stop),
            request_block,
            deadline,
            challenger,
            penalty,
            bytes(model_id),
            bytes(seed),
        )

    def possession_seed(self, challenge: ChallengeView) -> bytes | None:
        """What was drawn or would be; None while the chain block that decides is not there yet, or not any more."""
        if any(challenge.seed):
            return challenge.seed
        decides, last = challenge.request_block + 1, self.block_number()
        if not decides <= last < decides + KEPT_BLOCKS:
            return None
        block_hash = self.block_hash(decides)
        return None if block_hash is None else keccak(block_hash + challenge.challenge_id.to_bytes(32, "big"))

    def seed_is_lost(self, challenge: ChallengeView) -> bool:
        """Nobody drew it in time: the challenge can only be voided."""
        return not any(challenge.seed) and self.block_number() >= challenge.request_block + 1 + KEPT_BLOCKS
