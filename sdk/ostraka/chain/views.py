"""What the contracts' views return, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.types import BlockSpan, ChallengeState, JobState, NodeStatus, OrchestratorStatus


@dataclass(frozen=True)
class Head:
    """The newest chain block. `time` is in seconds: the clock by which deadlines are judged."""

    number: int
    hash: bytes
    time: int


@dataclass(frozen=True)
class JobView:
    """A job as the market has it. Times are chain seconds, money is wei."""

    job_id: int
    state: JobState
    requester: str
    orchestrator: str
    model_id: bytes
    input_digest: bytes
    replicas: int
    max_units: int
    price_per_unit: int
    price_cap: int
    escrow: int
    deadline: int
    reveal_deadline: int
    challenge_deadline: int
    block_number: int
    result_hash: bytes
    stage_lock: int
    round: int = 0
    round_block: int = 0  # 0 in the first round


@dataclass(frozen=True)
class NodeView:
    operator: str
    signer: str
    status: NodeStatus


@dataclass(frozen=True)
class ChallengeView:
    """A possession challenge. `seed` is 32 zero bytes until somebody draws it."""

    challenge_id: int
    state: ChallengeState
    node_id: int
    span: BlockSpan
    request_block: int
    deadline: int
    challenger: str
    penalty: int
    model_id: bytes
    seed: bytes


@dataclass(frozen=True)
class AccountView:
    staked: int
    locked: int
    unbonding: int
    unlock_at: int


@dataclass(frozen=True)
class OrchestratorView:
    """One that is registered. `unlock_at` is 0 unless it leaves."""

    account: str
    stake: int
    unlock_at: int
    status: OrchestratorStatus


@dataclass(frozen=True)
class OrchestratorTerms:
    """Fixed at deployment. Stake in wei, times in seconds."""

    min_stake: int
    epoch_s: int
    takeover_s: int
    unbonding_s: int
    max_members: int


@dataclass(frozen=True)
class RevealView:
    units: int
    output_digest: bytes
    trace_root: bytes
    result_hash: bytes


@dataclass(frozen=True)
class MarketParams:
    min_window_s: int
    reveal_window_s: int
    challenge_window_s: int
