"""A random Llama, small enough to be converted and run in a moment: for tests, and for benchmarks of everything but arithmetic.

3 layers, hidden 128, 4 heads over 2 key heads, ffn 320, vocab 272, context 96; byte-level BPE with three control tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

LAYERS, HIDDEN, HEADS, KV_HEADS, FFN, VOCAB, CONTEXT = 3, 128, 4, 2, 320, 272, 96
HEAD_DIM = HIDDEN // HEADS
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def byte_alphabet() -> list[str]:
    """The 256 printable characters byte-level BPE writes bytes with, byte 0 first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) if b in printable else chr(256 + rest.index(b)) for b in range(256)]


def write_gguf(path: Path, *, seed: int = 0, tied: bool = True) -> None:
    import gguf

    random = np.random.RandomState(seed)  # numpy froze its stream, so digests of this model can be pinned

    def weight(*shape: int) -> np.ndarray:
        w = (random.random_sample(shape) * 2 - 1).astype(np.float32) / np.float32(np.sqrt(shape[-1] / 3))
        # A few heavy channels, so that outliers occur as they do in trained models.
        w[..., random.randint(0, shape[-1], 2)] *= 6
        return w

    merges = [f"{a} {b}" for a, b in zip("thanerinonatrees", "heaneriononatress", strict=False)]
    merges = list(dict.fromkeys(merges))[:13]
    tokens = [*CONTROL, *byte_alphabet(), *(m.replace(" ", "") for m in merges)]
    assert len(tokens) == len(set(tokens)) == VOCAB
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("tiny")
    w.add_license("apache-2.0")
    w.add_block_count(LAYERS)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_rope_dimension_count(HEAD_DIM)
    w.add_rope_freq_base(10000.0)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([3] * len(CONTROL) + [1] * (VOCAB - len(CONTROL)))
    w.add_token_merges(merges)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_chat_template(CHAT)
    w.add_tensor("token_embd.weight", weight(VOCAB, HIDDEN))
    if not tied:
        w.add_tensor("output.weight", weight(VOCAB, HIDDEN))
    w.add_tensor("output_norm.weight", 1 + weight(HIDDEN))
    for layer in range(LAYERS):
        for name, shape in {
            "attn_norm": (HIDDEN,),
            "ffn_norm": (HIDDEN,),
            "attn_q": (HIDDEN, HIDDEN),
            "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN),
            "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN),
            "attn_output": (HIDDEN, HIDDEN),
            "ffn_gate": (FFN, HIDDEN),
            "ffn_up": (FFN, HIDDEN),
            "ffn_down": (HIDDEN, FFN),
        }.items():
            w.add_tensor(f"blk.{layer}.{name}.weight", weight(*shape) + (len(shape) == 1))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
