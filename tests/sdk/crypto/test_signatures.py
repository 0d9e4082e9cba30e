from __future__ import annotations

import dataclasses

import pytest

from ostraka.crypto.eip712 import (
    Domain,
    Receipt,
    assignment_hash,
    assignment_message,
    attestation_message,
    check_signer,
    commitment,
    receipt_message,
    recover,
    sign,
)
from ostraka.crypto.keys import derive_key, load_key, new_key, save_key
from ostraka.errors import BadSignature, ConfigError
from ostraka.types import Address, Assignment, JobId, NodeId, Stage

DOMAIN = Domain(1337, Address("0x" + "11" * 20))
ASSIGNMENT = Assignment(JobId(1), 0, (Stage(NodeId(1), 0, 5, 4000), Stage(NodeId(2), 5, 9, 6000)))


def test_a_signature_names_its_signer():
    key = new_key()
    message = assignment_message(DOMAIN, ASSIGNMENT)
    assert recover(message, sign(key.secret, message)) == key.address


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(ASSIGNMENT, job_id=JobId(2)),
        dataclasses.replace(ASSIGNMENT, replica=1),
        dataclasses.replace(ASSIGNMENT, stages=ASSIGNMENT.stages[::-1]),
    ],
)
def test_every_field_of_an_assignment_is_signed(other):
    key = new_key()
    signature = sign(key.secret, assignment_message(DOMAIN, ASSIGNMENT))
    with pytest.raises(BadSignature, match="assignment"):
        check_signer(assignment_message(DOMAIN, other), signature, key.address, "assignment")


def test_a_signature_counts_on_one_chain_and_contract_only():
    key = new_key()
    signature = sign(key.secret, assignment_message(DOMAIN, ASSIGNMENT))
    for domain in (Domain(1, DOMAIN.contract), Domain(1337, Address("0x" + "22" * 20))):
        assert recover(assignment_message(domain, ASSIGNMENT), signature) != key.address


@pytest.mark.parametrize("junk", [b"", b"\x00" * 65, b"\xff" * 65, b"x" * 10])
def test_junk_is_no_signature(junk):
    with pytest.raises(BadSignature):
        recover(attestation_message(DOMAIN, bytes(32), bytes(32)), junk)


def test_every_field_of_a_receipt_is_signed():
    receipt = Receipt(1, 0, 1, 7, 5, 9, 30, b"i" * 32, b"o" * 32)
    hashes = {bytes(receipt_message(DOMAIN, receipt).body)}
    for field in dataclasses.fields(receipt):
        old = getattr(receipt, field.name)
        new = b"z" * 32 if isinstance(old, bytes) else old + 1
        hashes.add(bytes(receipt_message(DOMAIN, dataclasses.replace(receipt, **{field.name: new})).body))
    assert len(hashes) == 10


def test_a_commitment_is_bound_to_its_sender_and_salt():
    args = (DOMAIN, 1, 0, Address("0x" + "33" * 20), b"r" * 32, b"t" * 32, b"s" * 32)
    base = commitment(*args)
    changes = [
        (0, Domain(1, DOMAIN.contract)),
        (1, 2),
        (2, 1),
        (3, Address("0x" + "44" * 20)),
        (4, b"x" * 32),
        (5, b"x" * 32),
        (6, b"x" * 32),
    ]
    seen = {base} | {commitment(*(value if i == at else a for i, a in enumerate(args))) for at, value in changes}
    assert len(seen) == 8


def test_the_assignment_hash_is_the_struct_hash():
    assert assignment_hash(DOMAIN, ASSIGNMENT) == assignment_hash(Domain(1, DOMAIN.contract), ASSIGNMENT)


def test_keys_come_back_from_disk(tmp_path):
    key = new_key()
    save_key(key, tmp_path / "plain")
    assert load_key(tmp_path / "plain") == key
    assert (tmp_path / "plain").stat().st_mode & 0o077 == 0
    assert "secret" not in repr(key)
    assert key.secret.hex() not in repr(key)


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, "{}"])
def test_a_broken_key_file_is_named(tmp_path, text):
    path = tmp_path / "bad.key"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.key"):
        load_key(path)


def test_a_missing_key_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="wallet new"):
        load_key(tmp_path / "absent")


def test_derivation_is_that_of_ganache_and_anvil():
    key = derive_key("test test test test test test test test test test test junk", 0)
    assert key.address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
