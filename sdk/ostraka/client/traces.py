"""Traces of replicas, from any of their nodes, believed only if they are what was revealed. Needs the `worker` or `orchestrator` extra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ostraka.chain import Market
from ostraka.crypto.trace import Digests, make_result
from ostraka.errors import BadFrame, HashMismatch, OstrakaError, Unavailable
from ostraka.types import JobId
from ostraka.wire.job_input import JobTerms, decode_terms
from ostraka.wire.messages import GetTrace, Trace, unpack_digests

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class KeptTrace:
    """`digests` is uint8 [N, B + 1, 32]; `terms` are None where the node that answered has not kept them."""

    digests: Digests
    terms: JobTerms | None
    tokens: tuple[int, ...] = ()  # as that node says; the result's digest tells whether it is so


def fetch_trace(
    market: Market, job_id: int, replica: int, endpoints: Sequence[str] = (), timeout_s: float = TIMEOUT_S
) -> KeptTrace:
    """From any node of the replica: each keeps the whole trace it signed. `endpoints` are those of the chain where none are given.

    Raises `HashMismatch` where a node gives another trace than was revealed, `Unavailable` where none answers; or the node's own error.
    """
    from ostraka.wire.grpc_transport import BlockingPeer

    job = market.job(JobId(job_id))
    revealed = market.reveals(job_id).get(replica)
    problem: OstrakaError = Unavailable(f"job {job_id} replica {replica}: no node gives its trace")
    if revealed is None:
        raise Unavailable(f"job {job_id} replica {replica}: it has not revealed, so there is no trace to compare with")
    for endpoint in endpoints or [market.endpoint(s.node_id) for s in market.committed_stages(job_id, replica)]:
        peer = BlockingPeer(endpoint)
        try:
            trace = peer.call(GetTrace(job_id, replica), Trace, timeout_s)
            digests = unpack_digests(trace.digests, trace.units, trace.borders)
            result = make_result(digests, trace.tokens, job.model_id, job.input_digest)
            if result.trace_root != revealed.trace_root:
                raise HashMismatch(f"job {job_id} replica {replica}: {endpoint} gave another trace than was revealed")
            return KeptTrace(digests, read_terms(trace.terms, job.input_digest), tuple(trace.tokens))
        except OstrakaError as error:
            problem = error
        finally:
            peer.close()
    raise problem


def read_terms(data: bytes, input_digest: bytes) -> JobTerms | None:
    """None unless these are a generation's terms, and those that the digest on chain covers."""
    try:
        terms = decode_terms(data)
    except BadFrame:
        return None
    return terms if isinstance(terms, JobTerms) and terms.digest == input_digest else None
