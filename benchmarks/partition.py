"""Networks cut into pipeline stages: the slowest stage against an even split's and against a bound, and the same bytes out.

Eight graphs and SmolLM2 (one operation a block). Machines: 5 G multiply–adds per second, a link of 1 Gbit/s, and fast memory for an even
share of the parameters, beyond which they are streamed at 8 GB/s. Every graph's parts run one after the other on two inputs of unlike
sizes; outputs must have the bytes of the whole. The same parts in the `tolerant` profile are compared with the module itself, SmolLM2's
stages with `transformers` in fp32.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks._tolerant import graph_error, llama_error
from ostraka.model.ideals import lower_bound
from ostraka.model.slices import Partition, even_split, partition
from ostraka.model.workload import Machine, Workload, chain_of, quotient_is_acyclic

STAGES = (2, 4, 8)
SPEED, LINK, STREAM = 5e9, 125e6, 8e9


def run() -> dict[str, Any]:
    import torch

    from benchmarks._networks import NETWORKS

    torch.set_num_threads(1)
    rows = {name: _graph(make()) for name, make in NETWORKS.items()} | {"smollm2-135m": _smollm2()}
    cuts = [cut for row in rows.values() for cut in row["cuts"].values()]
    exact = [cut for cut in cuts if cut["bound_complete"]]
    return {
        "networks": len(rows),
        "all_outputs_equal": all(cut["equal"] for cut in cuts),
        "worst_tolerant_error": max(row["tolerant_error"] for row in rows.values()),
        "worst_gap_to_bound": max(cut["gap_to_bound"] for cut in cuts),
        "worst_gap_to_complete_bound": max(cut["gap_to_bound"] for cut in exact),
        "incomplete_bounds": sorted({n for n, row in rows.items() for c in row["cuts"].values() if not c["bound_complete"]}),
        "median_vs_even": round(float(np.median([cut["vs_even"] for cut in cuts])), 3),
        "best_vs_even": min(cut["vs_even"] for cut in cuts),
        "rows": rows,
    }  # fmt: skip


def _cut(workload: Workload, stages: int) -> tuple[Partition, dict[str, Any]]:
    machine = Machine(SPEED, LINK, STREAM, sum(o.size_param for o in workload.operations) // stages)
    began = time.perf_counter()
    found = partition(workload, stages, machine)
    took = time.perf_counter() - began
    bound, complete = lower_bound(workload, stages, machine)
    assert quotient_is_acyclic(workload, found.parts)
    return found, {
        "bottleneck_ms": round(1e3 * found.bottleneck, 3),
        "vs_even": round(found.bottleneck / even_split(workload, stages, machine).bottleneck, 3),
        "gap_to_bound": round(1 - bound / found.bottleneck, 4),
        "bound_complete": complete,
        "seconds": round(took, 2),
    }


def _graph(network: Any) -> dict[str, Any]:
    import torch

    from ostraka_worker.graph import ExactGraph, to_exact
    from ostraka_worker.graph.capture import capture
    from ostraka_worker.graph.cut import cut, run_parts, tensors_of
    from ostraka_worker.graph.weigh import observe, weigh
    from ostraka_worker.kernels.probe import pick_kernel

    kernel, _ = pick_kernel(None)
    examples = {name: torch.from_numpy(array) for name, array in network.examples.items()}
    plain, weights = capture(network.module, examples, network.vary)
    graph, tensors = to_exact(plain, weights)
    whole = ExactGraph(graph, tensors, kernel)
    inputs = (network.examples, network.others)
    seen = [observe(whole, given) for given in inputs]
    expected = [whole(given) for given in inputs]
    workload, names = weigh(graph, tensors, seen[0])
    cuts, chosen = {}, []
    for stages in STAGES:
        found, row = _cut(workload, stages)
        parts = [[names[at] for at in part] for part in found.parts]
        chosen.append(parts)
        running = [ExactGraph(part, tensors_of(part, tensors), kernel) for part in cut(graph, parts, seen)]
        given = [run_parts(running, arrays, graph.outputs) for arrays in inputs]
        row["equal"] = all(
            a[name].tobytes() == b[name].tobytes()
            for a, b in zip(expected, given, strict=True)
            for name in graph.outputs
        )
        cuts[str(stages)] = row
    error = graph_error(network.module, plain, weights, chosen, inputs)
    return {"operations": len(names), **_sums(workload), "tolerant_error": error, "cuts": cuts}


def _smollm2() -> dict[str, Any]:
    """Stages with their sessions, as nodes run them: a prompt in one step, then token by token."""
    from benchmarks._exact.baseline import huggingface
    from ostraka.cli.devnet import cache_folder
    from ostraka_worker.engine.stage import Stage
    from ostraka_worker.kernels.probe import pick_kernel
    from ostraka_worker.prepare import prepare_once

    kernel, _ = pick_kernel(None)
    manifest, store = prepare_once("smollm2-135m-instruct", cache_folder())
    workload = chain_of(manifest.blocks)

    def generate(borders: list[int]) -> tuple[list[int], bytes]:
        stages = [
            Stage(manifest, a, b, lambda i: store.path(manifest.blocks[i].cid), kernel) for a, b in pairwise(borders)
        ]
        for stage in stages:
            stage.open(b"session", 64)
        tokens, trace, position = [504, 7042, 282, 6041], [], 0
        for _ in range(8):
            fed, rows = np.array(tokens[position:]), None
            for stage in stages:
                result = stage.step(b"session", position, fed, rows, len(tokens) - 1)
                fed, rows = None, result.rows
                trace.append(result.digests)
            position = len(tokens)
            tokens.append(int(result.tokens[-1]))
        return tokens, _joined(trace, len(stages))

    expected = generate([0, len(manifest.blocks)])
    cuts, chosen = {}, []
    for stages in STAGES:
        found, row = _cut(workload, stages)
        chosen.append([part[0] for part in found.parts] + [len(manifest.blocks)])
        row["equal"] = generate(chosen[-1]) == expected
        cuts[str(stages)] = row
    error = llama_error(huggingface(), chosen)
    return {"operations": len(workload.operations), **_sums(workload), "tolerant_error": error, "cuts": cuts}


def _joined(trace: list[Any], stages: int) -> bytes:
    """Digests of all borders of all positions, step by step."""
    steps = [trace[at : at + stages] for at in range(0, len(trace), stages)]
    return b"".join(np.concatenate(step, axis=1).tobytes() for step in steps)


def _sums(workload: Workload) -> dict[str, float]:
    ops = workload.operations
    return {
        "million_multiply_adds": round(sum(o.work for o in ops) / 1e6, 1),
        "parameters_mb": round(sum(o.size_param for o in ops) / 1e6, 2),
    }
