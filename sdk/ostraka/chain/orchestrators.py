"""Who may match jobs that name no orchestrator, and when: typed calls of `IOrchestrators`."""

from __future__ import annotations

from collections.abc import Sequence

from ostraka.chain.abi import Call
from ostraka.chain.contracts import Contracts
from ostraka.chain.views import OrchestratorTerms, OrchestratorView
from ostraka.types import Assignment, OrchestratorStatus

ANYBODY = "0x" + "00" * 20  # the orchestrator of a job that names none
NEVER = 2**256 - 1


class Orchestrators(Contracts):
    """Registration, orders of leaders, and proof against one that signs too much."""

    def register_orchestrator(self, endpoint: str, stake: int) -> Call:
        """Takes `stake` (wei), which must be approved to Orchestrators. By the account that signs assignments."""
        return self._call("Orchestrators", "register", endpoint, stake)

    def add_orchestrator_stake(self, amount: int) -> Call:
        return self._call("Orchestrators", "addStake", amount)

    def set_orchestrator_endpoint(self, endpoint: str) -> Call:
        return self._call("Orchestrators", "setEndpoint", endpoint)

    def leave_orchestrators(self) -> Call:
        return self._call("Orchestrators", "leave")

    def withdraw_orchestrator_stake(self) -> Call:
        return self._call("Orchestrators", "withdraw")

    def ask_order(self, epoch: int) -> Call:
        """Asks for the seed of this epoch's or the next one's order."""
        return self._call("Orchestrators", "askOrder", epoch)

    def draw_order(self, epoch: int) -> Call:
        return self._call("Orchestrators", "drawOrder", epoch)

    def prove_double(self, assignments: Sequence[Assignment], signatures: Sequence[bytes]) -> Call:
        """All of one job and replica, all different; two, and one more for each round that the job had."""
        stages = [[(s.node_id, s.start, s.stop, s.work_bps) for s in one.stages] for one in assignments]
        first = assignments[0]
        return self._call("Orchestrators", "proveDouble", first.job_id, first.replica, stages, list(signatures))

    def may_assign(self, account: str, since: int) -> bool:
        """Whether a first commit that `account` signed would be taken now for a job submitted at chain second `since`."""
        return bool(self._read("Orchestrators", "mayAssign", account, since))

    def may_assign_from(self, account: str, since: int) -> int | None:
        """The chain second from which it may; None for an account that may not at all."""
        at = int(self._read("Orchestrators", "mayAssignFrom", account, since))
        return None if at == NEVER else at

    def order_epoch(self, timestamp: int) -> int:
        """The epoch whose order decides about a job submitted at this chain second."""
        return int(self._read("Orchestrators", "epochAt", timestamp))

    def order(self, epoch: int) -> list[str]:
        """Accounts, the leader first; empty while nobody drew, or where nobody had stake in time."""
        return [str(account) for account in self._read("Orchestrators", "order", epoch)]

    def order_status(self, epoch: int) -> tuple[bool, int]:
        """Whether the order was drawn, and the number of the request for its seed; 0 where nobody asked."""
        drawn, request_id = self._read("Orchestrators", "orderStatus", epoch)
        return bool(drawn), int(request_id)

    def seed_block(self, request_id: int) -> int:
        """The seed can be read from the chain block after this one on, for `seed_lifetime` of them."""
        return int(self._read("BlockRandomness", "seedBlockOf", request_id))

    def seed_lifetime(self) -> int:
        """For how many chain blocks after its seed block a seed can be read."""
        return int(self._read("BlockRandomness", "lifetimeBlocks"))

    def order_weight(self, account: str, epoch: int) -> int:
        """What an order of this epoch, the present one or the next, counts for the account: whole tokens."""
        return int(self._read("Orchestrators", "weightOf", account, epoch))

    def active_orchestrators(self) -> list[str]:
        return [str(account) for account in self._read("Orchestrators", "active")]

    def orchestrator(self, account: str) -> OrchestratorView:
        stake, unlock_at, _, status = self._read("Orchestrators", "member", account)
        return OrchestratorView(account, stake, unlock_at, OrchestratorStatus(status))

    def orchestrator_terms(self) -> OrchestratorTerms:
        return OrchestratorTerms(*self._read("Orchestrators", "terms"))
