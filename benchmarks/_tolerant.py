"""The `tolerant` profile cut as the exact one is: parts in torch's fp32, the worst relative L2 from the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ostraka_worker.graph.model import Graph

PROMPTS = ([504, 7042, 282, 6041] * 8, [198, 40, 1461, 253] * 8)


def same_parts(graph: Graph, exact: Sequence[Sequence[str]]) -> list[list[str]]:
    """Parts of the exact graph, by names, as parts of the `graph` that it was made of: that still has the norms and pads which were folded
    into a convolution, and they go where it goes."""
    homes = {name: at for at, part in enumerate(exact) for name in part}
    nodes = [node for node in graph.nodes if node.op != "constant"]
    readers = {name: node.name for node in reversed(nodes) for name in node.inputs}
    for node in reversed(nodes):
        if node.name not in homes and node.op == "pad":
            homes[node.name] = homes[readers[node.name]]
    for node in nodes:
        if node.name not in homes:
            homes[node.name] = homes[node.inputs[0]]
    parts: list[list[str]] = [[] for _ in exact]
    for name in [given.name for given in graph.inputs] + [node.name for node in nodes]:
        parts[homes[name]].append(name)
    return parts


def graph_error(module: Any, graph: Graph, weights: Any, cuts: Iterable[Sequence[Sequence[str]]], inputs: Any) -> float:
    """Of the parts of all `cuts` of the exact graph, in fp32, from the module itself, over all outputs and inputs."""
    import torch

    from ostraka_worker.graph.cut import cut, run_parts, tensors_of
    from ostraka_worker.graph.tolerant import TolerantGraph
    from ostraka_worker.graph.weigh import observe

    whole = TolerantGraph(graph, weights)
    seen = [observe(whole, given) for given in inputs]
    with torch.no_grad():
        wanted = [
            torch.utils._pytree.tree_leaves(module(**{n: torch.from_numpy(a) for n, a in given.items()}))
            for given in inputs
        ]
    errors = []
    for parts in cuts:
        pieces = cut(graph, same_parts(graph, parts), seen)
        running = [TolerantGraph(part, tensors_of(part, weights)) for part in pieces]
        for given, due in zip(inputs, wanted, strict=True):
            found: Mapping[str, Any] = run_parts(running, given, graph.outputs)
            errors += [_error(found[name], value.numpy()) for name, value in zip(graph.outputs, due, strict=True)]
    return max(errors)


def llama_error(model: Any, cuts: Iterable[Sequence[int]]) -> float:
    """Of a `LlamaForCausalLM` in stages that hand each other fp32 rows, two prompts at once, from the whole, a prompt at a time.

    `cuts` are borders between its blocks: the embedding, a block a layer, the head.
    """
    import torch

    with torch.inference_mode():
        wanted = np.concatenate([model(torch.tensor([ids]), use_cache=False).logits.numpy() for ids in PROMPTS])
        errors = []
        for borders in cuts:
            rows = np.array(PROMPTS)
            for start, stop in pairwise(borders):
                rows = _llama_stage(model, start, stop, torch.from_numpy(rows)).numpy()
            errors.append(_error(rows, wanted))
    return max(errors)


def _llama_stage(model: Any, start: int, stop: int, x: Any) -> Any:
    import torch

    inner, last = model.model, len(model.model.layers) + 1
    for block in range(start, stop):
        if block == 0:
            x = inner.embed_tokens(x)
        elif block == last:
            x = model.lm_head(inner.norm(x))
        else:
            turned = inner.rotary_emb(x, position_ids=torch.arange(x.shape[1])[None])
            x = inner.layers[block - 1](x, position_embeddings=turned)
    return x


def _error(found: Any, wanted: Any) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
