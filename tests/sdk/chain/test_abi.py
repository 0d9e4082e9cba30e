"""Our own encoding against web3's, for every function and event of every contract."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from ostraka.chain import abi
from ostraka.chain.artifacts import CONTRACTS, artifact

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"


def value(entry, seed=7):
    kind = entry["type"]
    if kind.endswith("[]"):
        return [value({**entry, "type": kind[:-2]}, seed + i) for i in range(2)]
    if kind.endswith("]"):
        size = int(kind[kind.rindex("[") + 1 : -1])
        return [value({**entry, "type": kind[: kind.rindex("[")]}, seed + i) for i in range(size)]
    if kind == "tuple":
        return tuple(value(c, seed + i) for i, c in enumerate(entry["components"]))
    if kind == "address":
        return ADDRESS
    if kind == "bool":
        return bool(seed % 2)
    if kind == "string":
        return f"text {seed}"
    if kind.startswith("bytes"):
        return bytes([seed % 256]) * int(kind[5:] or 40)
    return seed % 100


def functions():
    for name in CONTRACTS:
        entries = [e for e in artifact(name)["abi"] if e["type"] == "function"]
        names = [(e["name"], len(e["inputs"])) for e in entries]
        yield from (
            pytest.param(name, e, id=f"{name}.{e['name']}")
            for e in entries
            if names.count((e["name"], len(e["inputs"]))) == 1
        )


@pytest.mark.parametrize(("contract", "entry"), list(functions()))
def test_calls_and_answers_are_web3s(contract, entry):
    arguments = [value(i) for i in entry["inputs"]]
    ours = abi.function(contract, entry["name"], len(arguments))
    theirs = Web3().eth.contract(abi=[entry]).encode_abi(entry["name"], arguments)
    data = ours.encode(arguments)
    assert "0x" + data.hex() == theirs
    assert ours.encode(ours.arguments(data)) == data
    told = [value(o) for o in entry["outputs"]]
    answer = ours.decode(encode([abi.abi_type(o) for o in entry["outputs"]], told))
    assert _tuples(answer) == _tuples(told[0] if len(told) == 1 else tuple(told))


def _tuples(found):
    return tuple(map(_tuples, found)) if isinstance(found, list | tuple) else found


@given(st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4))
def test_a_struct_may_come_by_its_fields_names(numbers):
    entry = {
        "type": "tuple[]",
        "components": [{"name": n, "type": "uint64"} for n in "ab"],
    }
    rows = [tuple(numbers[:2]), tuple(numbers[2:])]
    assert abi.packed(entry, [{"b": b, "a": a} for a, b in rows]) == rows
    assert abi.packed(entry, rows) == rows


def test_what_no_function_is_called_is_an_error():
    with pytest.raises(KeyError, match=r"JobMarket\.nothing: 0 functions"):
        abi.function("JobMarket", "nothing", 1)
    with pytest.raises(ValueError, match="selector"):
        abi.function("JobMarket", "cancel", 1).arguments(b"1234" + bytes(32))
