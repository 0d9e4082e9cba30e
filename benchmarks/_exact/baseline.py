"""SmolLM2 as Hugging Face `transformers` runs it: dense weights, de-quantized from the same file the exact engine was made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ostraka_worker.convert.gguf_llama import _halves
from ostraka_worker.convert.gguf_source import GgufSource, read_gguf
from ostraka_worker.prepare import find_weights

MODEL = "smollm2-135m-instruct"


def huggingface(dtype: torch.dtype = torch.float32) -> Any:
    """A `LlamaForCausalLM` in eval mode. Loading the GGUF with transformers itself would keep packed weights, which is slower."""
    from transformers import LlamaConfig, LlamaForCausalLM

    source = GgufSource(read_gguf(find_weights(MODEL)))
    c = source.config(None)
    config = LlamaConfig(
        vocab_size=c.vocab,
        hidden_size=c.hidden,
        intermediate_size=c.ffn,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        num_key_value_heads=c.kv_heads,
        head_dim=c.head_dim,
        max_position_embeddings=c.context,
        rms_norm_eps=float(c.norm_eps),
        rope_parameters={"rope_type": "default", "rope_theta": float(c.rope_base)},
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to_empty(device="cpu")
    state: dict[str, torch.Tensor] = {}

    def put(name: str, file_name: str, *shape: int, turn: Callable[[Any], Any] = lambda w: w) -> None:
        state[name] = torch.from_numpy(turn(source.tensor(file_name, *shape)).copy())

    put("model.embed_tokens.weight", "token_embd.weight", c.vocab, c.hidden)
    put("model.norm.weight", "output_norm.weight", c.hidden)
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    for layer in range(c.layers):
        ours, theirs = f"blk.{layer}.", f"model.layers.{layer}."
        put(theirs + "input_layernorm.weight", ours + "attn_norm.weight", c.hidden)
        put(theirs + "post_attention_layernorm.weight", ours + "ffn_norm.weight", c.hidden)
        attention = theirs + "self_attn."
        put(attention + "q_proj.weight", ours + "attn_q.weight", q, c.hidden, turn=lambda w: _halves(w, c.heads))
        put(attention + "k_proj.weight", ours + "attn_k.weight", kv, c.hidden, turn=lambda w: _halves(w, c.kv_heads))
        put(attention + "v_proj.weight", ours + "attn_v.weight", kv, c.hidden)
        put(attention + "o_proj.weight", ours + "attn_output.weight", c.hidden, q)
        put(theirs + "mlp.gate_proj.weight", ours + "ffn_gate.weight", c.ffn, c.hidden)
        put(theirs + "mlp.up_proj.weight", ours + "ffn_up.weight", c.ffn, c.hidden)
        put(theirs + "mlp.down_proj.weight", ours + "ffn_down.weight", c.hidden, c.ffn)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    # The rotary table is no parameter: made anew, since to_empty left it without contents.
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    model.tie_weights()
    return model.to(dtype).eval()
