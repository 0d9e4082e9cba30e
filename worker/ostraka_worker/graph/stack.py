"""Networks that repeat one layer, as transformers do: a block a layer, so that no border lies inside one.

A stack is a list of modules of one class and one size that run one after the other, each once, and do most of the network's work. Where
a node lay in the original module (`Node.path`) says whose it is. What is a stack of nothing (convolutional networks, whose layers grow
wider), of layers that run twice or out of order, or of several towers, is not cut here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ostraka.model.workload import Workload
from ostraka_worker.graph.model import Graph

LEAST_SHARE = 0.5  # of the work that a stack must do


def by_layers(
    module: nn.Module, graph: Graph, workload: Workload, names: Sequence[str]
) -> tuple[tuple[int, ...], ...] | None:
    """Parts of `workload` (as `weigh` gives it with `names`), one a layer, in the order in which they run; None where there is no stack.

    What comes before the first layer and after the last goes with them, or is a part of its own where it holds more than a layer does.
    """
    at = {name: index for index, name in enumerate(names)}
    total = sum(operation.work for operation in workload.operations)
    for path, count in _lists(module):
        homes = _homes(graph, path, count)
        if homes is None:
            continue
        before, *layers, after = _grouped(graph, homes, at, count)
        if sum(workload.operations[i].work for part in layers for i in part) >= LEAST_SHARE * total:
            return _joined(workload, before, layers, after)
    return None


def _lists(module: nn.Module) -> Iterator[tuple[str, int]]:
    """Paths and lengths of lists of equal layers, outer ones first."""
    for path, part in module.named_modules():
        if isinstance(part, (nn.ModuleList, nn.Sequential)) and len(part) > 1:
            kinds = {(type(layer), _sizes(layer)) for layer in part}
            if len(kinds) == 1 and _sizes(part[0]) and not isinstance(part[0], (nn.ModuleList, nn.ModuleDict)):
                yield path, len(part)


def _sizes(layer: nn.Module) -> tuple[tuple[str, torch.Size], ...]:
    return tuple((name, parameter.shape) for name, parameter in layer.named_parameters())


def _homes(graph: Graph, path: str, count: int) -> dict[str, int] | None:
    """The layer of each node that lay in one; None unless all run, each once, one after the other."""
    inside = re.compile(rf"{re.escape(path + '.' if path else '')}(\d+)(\.|$)")
    found = {node.name: int(hit[1]) for node in graph.nodes if (hit := inside.match(node.path))}
    order = [found[node.name] for node in graph.nodes if node.name in found and node.op != "constant"]
    return found if order == sorted(order) and set(order) == set(range(count)) else None


def _grouped(graph: Graph, homes: dict[str, int], at: dict[str, int], count: int) -> list[list[int]]:
    """Before the layers, each layer, after them. What stands between two layers goes with the first of them."""
    groups: list[list[int]] = [[] for _ in range(count + 2)]
    groups[0] = [at[given.name] for given in graph.inputs]
    nodes = [node for node in graph.nodes if node.op != "constant"]
    last = max(index for index, node in enumerate(nodes) if node.name in homes)
    now = 0
    for index, node in enumerate(nodes):
        now = count + 1 if index > last else homes.get(node.name, now - 1) + 1
        groups[now].append(at[node.name])
    return groups


def _joined(
    workload: Workload, before: list[int], layers: list[list[int]], after: list[int]
) -> tuple[tuple[int, ...], ...]:
    def held(part: Sequence[int]) -> int:
        return sum(workload.operations[index].size_param for index in part)

    layer = min(held(part) for part in layers)
    parts = list(layers)
    if held(after) > layer:
        parts.append(after)
    else:
        parts[-1] = [*parts[-1], *after]
    if held(before) > layer:
        parts.insert(0, before)
    else:
        parts[0] = [*before, *parts[0]]
    return tuple(tuple(part) for part in parts)
