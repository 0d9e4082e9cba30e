"""The operations a graph may consist of: how many inputs, which attributes, which tensors. Nothing outside this table runs.

An attribute's kind says what it may hold: `int`, `flag`, `decimal` (a fraction as a string: canonical JSON has no floats), `ints`,
`dims` (each a number or a product of numbers and names of input dimensions, as "2*tokens"), `dim` (one of these), or a word from a
list. A `?` makes attribute or tensor optional.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MANY = 256


@dataclass(frozen=True)
class Op:
    """`inputs` from, to. `finite`: nothing that is not finite can come out if what goes in is."""

    inputs: tuple[int, int] = (1, 1)
    attrs: dict[str, str] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    finite: bool = False


_ONE = Op()
_SAFE = Op(finite=True)
_TWO = Op((2, 2))
_TEST = Op((2, 2), finite=True)
_REDUCE = {"dims": "ints", "keep": "flag"}
_WINDOW = {"size": "ints", "stride": "ints", "dilation": "ints", "pad": "ints"}

OPS: dict[str, Op] = {
    "constant": Op((0, 0), tensors=("value",), finite=True),
    # layers
    "linear": Op(attrs={"way": "rows|wide"}, tensors=("weight", "scale", "bias?")),
    "conv": Op(
        attrs={"stride": "ints", "dilation": "ints", "pad": "ints", "groups": "int", "way": "rows|wide|direct"},
        tensors=("weight", "scale", "bias?"),
    ),
    "embedding": Op(tensors=("weight", "scale")),
    "affine": Op(tensors=("weight?", "bias?")),
    "layer_norm": Op(attrs={"eps": "decimal", "rank": "int"}, tensors=("weight?", "bias?")),
    "rms_norm": Op(attrs={"eps": "decimal", "rank": "int"}, tensors=("weight?",)),
    "group_norm": Op(attrs={"eps": "decimal", "groups": "int"}, tensors=("weight?", "bias?")),
    # two activations
    "attention": Op((3, 4), {"causal": "flag", "window?": "int", "scale?": "decimal"}),
    "matmul": _TWO,
    "add": _TWO,
    "sub": _TWO,
    "mul": _TWO,
    "div": _TWO,
    "maximum": _TEST,
    "minimum": _TEST,
    # one number at a time
    "relu": _SAFE,
    "clamp": Op(attrs={"low?": "decimal", "high?": "decimal"}, finite=True),
    "leaky_relu": Op(attrs={"slope": "decimal"}),
    "sigmoid": _SAFE,
    "tanh": _SAFE,
    "erf": _SAFE,
    "exp": _ONE,
    "silu": _SAFE,
    "gelu": Op(attrs={"form": "none|tanh"}, finite=True),
    "hard_sigmoid": _SAFE,
    "hard_swish": _ONE,
    "neg": _SAFE,
    "abs": _SAFE,
    "square": _ONE,
    "sqrt": _ONE,
    "rsqrt": _ONE,
    # masks
    "eq": _TEST,
    "ne": _TEST,
    "lt": _TEST,
    "le": _TEST,
    "gt": _TEST,
    "ge": _TEST,
    "and": _TEST,
    "or": _TEST,
    "not": _SAFE,
    "where": Op((3, 3), finite=True),
    "cast": Op(attrs={"to": "f32|i64|bool"}, finite=True),
    # sums and windows
    "softmax": Op(attrs={"dim": "int"}),
    "mean": Op(attrs=_REDUCE),
    "sum": Op(attrs=_REDUCE),
    "amax": Op(attrs=_REDUCE, finite=True),
    "amin": Op(attrs=_REDUCE, finite=True),
    "max_pool": Op(attrs=_WINDOW),
    "avg_pool": Op(attrs={**_WINDOW, "include_pad": "flag", "divisor?": "int"}),
    "adaptive_avg_pool": Op(attrs={"size": "ints"}),
    "adaptive_max_pool": Op(attrs={"size": "ints"}, finite=True),
    "upsample_nearest": Op(attrs={"size": "dims"}, finite=True),
    "upsample_bilinear": Op(attrs={"size": "dims", "align_corners": "flag"}),
    # shapes
    "cat": Op((1, MANY), {"dim": "int"}, finite=True),
    "reshape": Op(attrs={"dims": "dims"}, finite=True),
    "expand": Op(attrs={"dims": "dims"}, finite=True),
    "permute": Op(attrs={"dims": "ints"}, finite=True),
    "slice": Op(attrs={"dim": "int", "start": "dim", "stop?": "dim", "step": "int"}, finite=True),
    "select": Op(attrs={"dim": "int", "index": "int"}, finite=True),
    "pad": Op(attrs={"pad": "ints", "value": "decimal"}, finite=True),
}
