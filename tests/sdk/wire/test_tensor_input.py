"""A job input of tensors: canonical, capped, checked against the manifest; its terms cover the values by their digest."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.sdk.model.test_graph_manifest import example
from tests.sdk.model.test_manifest import example as language

from ostraka.codec.values import pack_values
from ostraka.errors import BadFrame, UsageError
from ostraka.wire.job_input import JobInput, JobTerms, decode_input, decode_terms
from ostraka.wire.tensor_input import TensorInput, TensorTerms

PACKED = pack_values({"tokens": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), bool)})
JOB = TensorInput(PACKED, "embed")


def test_inputs_and_terms_survive_their_bytes():
    assert decode_input(JOB.encode()) == JOB
    assert decode_terms(JOB.terms.encode()) == JOB.terms
    assert JOB.digest == hashlib.sha256(JOB.terms.encode()).digest()
    assert JOB.terms.inputs_sha256 == hashlib.sha256(PACKED).hexdigest()
    assert JOB.terms.encode() == (
        b'{"inputs_bytes":%d,"inputs_sha256":"%s","kind":"embed","version":1}'
        % (len(PACKED), hashlib.sha256(PACKED).hexdigest().encode())
    )


def test_kinds_are_told_apart():
    tokens = JobInput([1, 2], 3, [])
    assert isinstance(decode_input(tokens.encode()), JobInput)
    assert isinstance(decode_terms(tokens.terms.encode()), JobTerms)
    assert isinstance(decode_terms(JOB.terms.encode()), TensorTerms)


def test_a_job_fits_its_manifest():
    JOB.check_for(example(), 100)
    JOB.terms.check_for(example(), 1)
    assert JOB.max_units == JOB.terms.max_units == 1


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (TensorInput(PACKED, "detect"), "kind: 'detect' version 1; the task of encoder is 'embed'"),
        (TensorInput(PACKED, "embed", 2), "version 2"),
        (TensorInput(b"", "embed"), "inputs: 0 bytes"),
        (TensorInput(PACKED[:-4], "embed"), "inputs: values: cut off"),
        (TensorInput(PACKED + bytes(4), "embed"), "inputs: values: 4 bytes follow"),
        (TensorInput(PACKED * 100, "embed"), "takes 1 to"),
        (TensorInput(pack_values({"tokens": np.ones((2, 5), np.int64)}), "embed"), "input: tokens given"),
    ],
)
def test_what_does_not_fit_is_named(job, said):
    with pytest.raises(UsageError, match=said):
        job.check_for(example(), 1)


def test_a_language_model_takes_no_tensors_and_a_network_no_prompt():
    with pytest.raises(UsageError, match="ask it to generate"):
        JOB.check_for(language(), 100)
    with pytest.raises(UsageError, match="it generates no text"):
        JobInput([1], 1, []).check_for(example(), 100)
    with pytest.raises(UsageError, match="it generates no text"):
        JobInput([1], 1, []).terms.check_for(example(), 100)


@pytest.mark.parametrize("read", [decode_input, decode_terms])
@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"kind":5}', b'{"kind":"embed"}', b'{"kind":"embed","version":1, "inputs":""}', b"\xff"],
)
def test_other_bytes_are_refused(read, data):
    with pytest.raises(BadFrame):
        read(data)


def test_base64_has_one_form():
    data = JOB.encode().replace(b'=="', b'"').replace(b'="', b'"')
    if data != JOB.encode():
        with pytest.raises(BadFrame):
            decode_input(data)
    with pytest.raises(BadFrame):
        decode_input(b'{"inputs":"AAAA AAAA","kind":"embed","version":1}')
