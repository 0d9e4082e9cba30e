"""Arbitrary networks in the exact profile: a graph that is data, and the program that runs it.

    graph, tensors = capture(module, {"image": example})      torch.export, fp32
    graph, tensors = to_exact(graph, tensors)                  batch norms folded, weights quantized
    outputs = ExactGraph(graph, tensors, kernel)({"image": x})

`dump_graph`/`load_graph` and `ostraka.codec.tensors` turn both into bytes and back. Only `capture` needs the network's own code; who
runs a graph sees a list of operations from a fixed table (`ops`) and arrays.
"""

from ostraka_worker.graph.convert import to_exact
from ostraka_worker.graph.model import Graph, Input, Node, dump_graph, load_graph
from ostraka_worker.graph.run import ExactGraph

__all__ = ["ExactGraph", "Graph", "Input", "Node", "dump_graph", "load_graph", "to_exact"]
