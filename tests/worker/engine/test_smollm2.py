"""The real SmolLM2-135M-Instruct: it answers, cut or whole, and its tokenizer is the original's."""

from __future__ import annotations

import jinja2.sandbox
import pytest
import tokenizers

from ostraka.model import load_manifest
from ostraka_worker.engine import Stage, generate_on
from ostraka_worker.kernels import pick_kernel

pytestmark = pytest.mark.model


def load_from(folder):
    return lambda index: folder / f"block-{index:04d}.safetensors"


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return tokenizers.Tokenizer.from_file(str(smollm2[0] / "tokenizer.json"))


@pytest.fixture(scope="module")
def question(smollm2, tokenizer) -> list[int]:
    template = jinja2.sandbox.ImmutableSandboxedEnvironment().from_string(smollm2[1].tokenizer.chat_template)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    return tokenizer.encode(template.render(messages=messages, add_generation_prompt=True)).ids


def test_it_knows_the_capital_of_france_whole_and_in_two_stages(smollm2, tokenizer, question):
    folder, manifest = smollm2
    kernel, _ = pick_kernel()
    whole = Stage(manifest, 0, 32, load_from(folder), kernel)
    tokens, digests = generate_on([whole], question, 20, [manifest.tokenizer.eos])
    assert "Paris" in tokenizer.decode(tokens)
    assert tokens[-1] == manifest.tokenizer.eos
    two = [Stage(manifest, 0, 13, load_from(folder), kernel), Stage(manifest, 13, 32, load_from(folder), kernel)]
    again = generate_on(two, question, 20, [manifest.tokenizer.eos])
    assert again[0] == tokens
    assert (again[1] == digests).all()


def test_its_manifest_is_what_the_file_says(smollm2):
    folder, manifest = smollm2
    assert load_manifest((folder / "manifest.json").read_bytes()) == manifest
    arch = manifest.arch
    assert (arch.hidden, arch.layers, arch.heads, arch.kv_heads, arch.head_dim) == (576, 30, 9, 3, 64)
    assert (arch.ffn, arch.vocab, arch.context, arch.norm_eps, arch.rope_base) == (1536, 49152, 2048, "1e-05", "100000")
    assert manifest.row_bytes_at(1) == 610
    assert (manifest.tokenizer.bos, manifest.tokenizer.eos) == (1, 2)


def test_its_blocks_are_pinned(smollm2):
    # The manifests of all markets that published this model name these files.
    assert smollm2[1].tokenizer.sha256 == "6024517317ec80c0cda6dae1445de603ec90f8b0b360bbc79188ad0112ad12f8"
    assert smollm2[1].shard_root == "fc90d2929525ed507b2a728cf87a7a181f0b5b2156f212fbbd8e794485466763"


def test_digits_are_single_tokens_and_chat_tokens_are_whole(tokenizer):
    assert [tokenizer.id_to_token(i) for i in tokenizer.encode("2024").ids] == list("2024")
    assert tokenizer.encode("<|im_start|>").ids == [1]
    assert tokenizer.encode("<|im_end|>").ids == [2]
    for text in ("Hello, world!", "naïve café — 東京 🏺", "def f(x):\n    return x + 1\n", "  spaces  "):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_tokenizer_agrees_with_transformers_conversion(smollm2, tokenizer):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed; it is used only here")
    from tests.worker.engine.conftest import smollm2_gguf

    path = smollm2_gguf()
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    assert theirs.get_vocab() == tokenizer.get_vocab()
    # Without digits: transformers forgets that smollm splits them one by one.
    for text in (
        "Hello, world!",
        "The ostraka of Athens — naïve café 東京 🏺",
        "<|im_start|>user\nhi<|im_end|>\n",
        "a  b\n\n c",
    ):
        assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text).ids
