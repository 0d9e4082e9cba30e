"""Receipts and attestations: what a node signs at the end of a replica, and only after checking it against its own records.

Protocol: docs/protocol.md §5 and §6. A node's stake depends on these signatures, so every field is recomputed here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ostraka.crypto.eip712 import (
    Domain,
    Receipt,
    assignment_hash,
    attestation_message,
    check_signer,
    commitment,
    receipt_message,
    sign,
)
from ostraka.crypto.keys import Key
from ostraka.crypto.trace import Digests, Result, column, make_result, result_of, token_digest
from ostraka.errors import BadFrame, TraceMismatch
from ostraka.types import Address, Assignment
from ostraka.wire.messages import Attest, Attested, SignedReceipt, unpack_digests
from ostraka.wire.tensor_input import TensorTerms
from ostraka_worker.sessions import Session


@dataclass(frozen=True)
class Identity:
    """Who signs, and where the signature counts."""

    domain: Domain
    key: Key
    node_id: int


def unsigned_receipt(assignment: Assignment, stage: int, digests: Digests) -> Receipt:
    own = assignment.stages[stage]
    return Receipt(
        job_id=assignment.job_id,
        replica=assignment.replica,
        stage=stage,
        node_id=own.node_id,
        start=own.start,
        stop=own.stop,
        units=len(digests),
        input=column(digests, own.start),
        output=column(digests, own.stop),
    )


def to_receipt(assignment: Assignment, signed: SignedReceipt) -> Receipt:
    return Receipt(
        job_id=assignment.job_id,
        replica=assignment.replica,
        stage=signed.stage,
        node_id=signed.node_id,
        start=signed.start,
        stop=signed.stop,
        units=signed.units,
        input=signed.input,
        output=signed.output,
    )


def sign_receipt(identity: Identity, receipt: Receipt) -> SignedReceipt:
    return SignedReceipt(
        stage=receipt.stage,
        node_id=receipt.node_id,
        start=receipt.start,
        stop=receipt.stop,
        units=receipt.units,
        input=receipt.input,
        output=receipt.output,
        signature=sign(identity.key.secret, receipt_message(identity.domain, receipt)),
        countersignature=b"",
    )


def check_own_columns(session: Session, digests: Digests) -> None:
    """Raises `TraceMismatch` unless the trace says of this node exactly what this node did and received."""
    if len(digests) != session.outputs.length:
        raise TraceMismatch(f"trace: {len(digests)} positions, this node processed {session.outputs.length}")
    for name, border, own in (
        ("input", slice(session.start, session.start + 1), session.inputs.array()),
        ("output", slice(session.start + 1, session.stop + 1), session.outputs.array()),
    ):
        if not np.array_equal(digests[:, border], own):
            raise TraceMismatch(f"trace: the {name} digests of stage {session.stage} are not what this node recorded")


def check_answer(digests: Digests, tokens: list[int]) -> None:
    """Raises `TraceMismatch` unless the tokens are those that the last positions sampled, each fed to the next position."""
    first = len(digests) - len(tokens)
    if not tokens or first < 0:
        raise TraceMismatch(f"trace: {len(tokens)} tokens do not fit {len(digests)} positions")
    for i, token in enumerate(tokens):
        hashed = token_digest(token)
        if digests[first + i, -1].tobytes() != hashed:
            raise TraceMismatch(f"trace: token {i} is not the one that position {first + i} sampled")
        if i + 1 < len(tokens) and digests[first + i + 1, 0].tobytes() != hashed:
            raise TraceMismatch(f"trace: token {i} was not fed to position {first + i + 1}")
    if digests[:first, -1].any():
        raise TraceMismatch("trace: a position of the prompt claims to have sampled")


def check_inference(digests: Digests, outputs: bytes, terms: TensorTerms) -> None:
    """Raises `TraceMismatch` unless the one position starts with the job's inputs and ends with these outputs."""
    if len(digests) != 1:
        raise TraceMismatch(f"trace: {len(digests)} positions; an inference is one")
    if digests[0, 0].tobytes().hex() != terms.inputs_sha256:
        raise TraceMismatch("trace: border 0 is not the digest of the job's inputs")
    if digests[0, -1].tobytes() != hashlib.sha256(outputs).digest():
        raise TraceMismatch("trace: the last border is not the digest of these outputs")


def checked_result(session: Session, digests: Digests, tokens: list[int], outputs: bytes, model_id: bytes) -> Result:
    """What the replica commits to. Raises `TraceMismatch` unless the trace ends in this answer."""
    if isinstance(session.terms, TensorTerms):
        check_inference(digests, outputs, session.terms)
        if tokens:
            raise TraceMismatch(f"trace: {len(tokens)} tokens; an inference has none")
        return result_of(digests, outputs, model_id, session.input_digest)
    check_answer(digests, tokens)
    return make_result(digests, tokens, model_id, session.input_digest)


def attest(
    identity: Identity, session: Session, message: Attest, model_id: bytes, lead: Address, previous_signer: Address
) -> tuple[Attested, Digests]:
    """What a stage behind the lead answers. Returns the checked trace too, to be kept for disputes.

    Raises `TraceMismatch`, `BadSignature` or `BadFrame` instead of signing anything that is not so.
    """
    digests = unpack_digests(message.digests, session.outputs.length, session.borders)
    check_own_columns(session, digests)
    result = checked_result(session, digests, message.tokens, message.outputs, model_id)
    assignment = session.assignment
    expected = commitment(
        identity.domain, assignment.job_id, assignment.replica, lead, result.hash, result.trace_root, message.salt
    )
    if expected != message.commitment:
        raise TraceMismatch("commitment: it does not cover this trace, these tokens and this lead")
    if len(message.receipts) != session.stage:
        raise BadFrame(f"receipts: {len(message.receipts)} came, {session.stage} stages stand before this one")
    before = message.receipts[-1]
    receipt_before = unsigned_receipt(assignment, session.stage - 1, digests)
    if to_receipt(assignment, before) != receipt_before:
        raise TraceMismatch(f"receipt: that of stage {session.stage - 1} is not what its columns say")
    signable = receipt_message(identity.domain, receipt_before)
    check_signer(signable, before.signature, previous_signer, f"receipt of stage {session.stage - 1}")
    signed = Attested(
        attestation=sign_attestation(identity, assignment, message.commitment),
        receipt=sign_receipt(identity, unsigned_receipt(assignment, session.stage, digests)),
        countersignature=sign(identity.key.secret, signable),
    )
    return signed, digests


def sign_attestation(identity: Identity, assignment: Assignment, committed: bytes) -> bytes:
    message = attestation_message(identity.domain, assignment_hash(identity.domain, assignment), committed)
    return sign(identity.key.secret, message)
