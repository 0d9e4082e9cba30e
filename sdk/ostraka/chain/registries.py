"""Tokens, stake, nodes, models and shards as typed calls."""

from __future__ import annotations

from web3.contract.contract import ContractFunction

from ostraka.chain import events as ev
from ostraka.chain.contracts import Contracts
from ostraka.chain.views import AccountView, NodeView
from ostraka.model import Manifest
from ostraka.types import Address, BlockSpan, ModelId, NodeId, NodeStatus

EXACT = 0  # IModelRegistry.Profile


class Registries(Contracts):
    """Everything but jobs."""

    # ── tokens and stake ──

    def token_balance(self, account: str) -> int:
        return int(self._read("OstrakaToken", "balanceOf", account))

    def supply(self) -> int:
        return int(self._read("OstrakaToken", "totalSupply"))

    def allowance(self, owner: str, spender: str) -> int:
        return int(self._read("OstrakaToken", "allowance", owner, self.deployment.address(spender)))

    def approve(self, spender: str, amount: int) -> ContractFunction:
        return self._call("OstrakaToken", "approve", self.deployment.address(spender), amount)

    def transfer(self, to: str, amount: int) -> ContractFunction:
        return self._call("OstrakaToken", "transfer", to, amount)

    def stake(self, amount: int) -> ContractFunction:
        return self._call("StakeVault", "stake", amount)

    def request_unstake(self, amount: int) -> ContractFunction:
        return self._call("StakeVault", "requestUnstake", amount)

    def withdraw_stake(self) -> ContractFunction:
        return self._call("StakeVault", "withdraw")

    def account(self, operator: str) -> AccountView:
        return AccountView(*self._read("StakeVault", "account", operator))

    def free_stake(self, operator: str) -> int:
        return int(self._read("StakeVault", "free", operator))

    # ── nodes ──

    def register(self, signer: str, endpoint: str, proof: bytes, stake: int = 0) -> ContractFunction:
        """Stakes `stake` along with it, which must be approved to the vault."""
        return self._call("NodeRegistry", "register", signer, endpoint, proof, stake)

    def rotate_key(self, node_id: NodeId, signer: str, proof: bytes) -> ContractFunction:
        return self._call("NodeRegistry", "rotateKey", node_id, signer, proof)

    def drain(self, node_id: NodeId) -> ContractFunction:
        return self._call("NodeRegistry", "drain", node_id)

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

    def publish(self, manifest: Manifest, max_units: int, price_per_unit: int, royalty_bps: int) -> ContractFunction:
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

    def published_models(self) -> list[ev.ModelPublished]:
        return [e for e in self._events(ev.ModelPublished) if isinstance(e, ev.ModelPublished)]

    def minimum_stake(self, model_id: bytes) -> int:
        return int(self._read("ShardRegistry", "minimumStake", model_id))

    def claim(self, node_id: NodeId, model_id: ModelId, span: BlockSpan) -> ContractFunction:
        return self._call("ShardRegistry", "claim", node_id, model_id, span.start, span.stop)

    def release(self, node_id: NodeId, model_id: ModelId) -> ContractFunction:
        return self._call("ShardRegistry", "release", node_id, model_id)

    def span(self, node_id: NodeId, model_id: bytes) -> BlockSpan | None:
        start, stop = self._read("ShardRegistry", "spanOf", node_id, model_id)
        return BlockSpan(start, stop) if stop else None
