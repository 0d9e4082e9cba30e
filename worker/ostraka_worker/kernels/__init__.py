"""Exact arithmetic: the operations of a transformer whose results are the same bytes on every machine.

Floating-point addition is not associative, so the bits of an ordinary matrix product depend on SIMD width, blocking, threads and
batch. Here every sum is a sum of integers, and everything that is not a sum is one IEEE-754 operation at a time.

Three rules, and why they suffice:

1. **Sums are exact.** An integer sum in int32, int64, or in fp32/fp64 while every partial sum stays below 2^24/2^53, has one result
   in any order, with or without fused multiply-add, on any number of threads. Each module states its bound.
2. **The rest is elementwise and correctly rounded**: +, -, ·, /, sqrt, rint, comparisons and conversions of fp32/fp64, which IEEE-754
   fixes to the last bit. numpy runs them one at a time over arrays, so no compiler fuses two into one rounding. No libm function is
   called: powers of two come from a polynomial (`scalar`), angles from a table in the block (`rope`).
3. **A row depends on itself alone** (and, in attention, on cached rows before it): scales, outliers and norms are taken per row, and what
   a batch adds to a row is integer zeros. So batch, chunking and order of sessions change nothing.

| operation         | sum                                             | bound                                          | module      |
|-------------------|-------------------------------------------------|------------------------------------------------|-------------|
| linear            | int8 · int8 in int32                            | 127² · K < 2^31 for K <= 2^17                  | `gemm`      |
|                   | the same in fp32, slices of K                   | 127² · 1024 < 2^24, slices in fp64             | `gemm`      |
| outliers          | two int8 limbs · int8 in int32 or fp64          | 127² · 2^7 · K < 2^53                          | `gemm`      |
| outlier threshold | squares of int8 in fp32, slices in fp64         | 127² · 1024 < 2^24                             | `linear`    |
| RMS norm          | squares of grid integers in fp64                | 2^40 · H <= 2^53                               | `norm`      |
| Q · K             | int8 · int8 in fp32                             | 127² · head_dim < 2^24 for head_dim <= 1024    | `attention` |
| softmax           | integers <= 2^22 in fp64                        | 2^22 · T < 2^53                                | `attention` |
| P · V             | integer probabilities · int8 in fp32            | 127 · (2^16 + T/2 + 1) < 2^24 for T <= 65,536  | `attention` |
| sampling          | integers <= 2^30 over the vocabulary, in int64  | 2^30 · V < 2^48                                | `sampling`  |
| wide linear       | two int8 limbs · one or two of int8, as linear  | 16256² · K < 2^53 for K <= 2^17                | `wide`      |
| convolution       | patches as rows of linear or wide linear        | theirs                                         | `conv`      |
|  with few products| int14 · int13 in int32                          | 8191 · 4095 · 64 < 2^31                        | `conv`      |
| matmul            | 15 bits · 15 bits in fp64                       | 2^28 · K < 2^53 for K < 2^25                   | `matmul`    |
| attention, no cache | as Q · K, softmax, P · V                      | theirs                                         | `bidirectional` |
| sum, mean         | grid integers <= 2^30 in fp64                   | 2^b · n <= 2^53, b = min(30, 53 - log2 n)      | `sums`      |
| layer, group norm | a mean, then an RMS norm of what it leaves      | theirs                                         | `layer_norm` |
| average pooling   | grid integers in fp64, as sum                   | 2^b · window <= 2^53                           | `pooling`   |
| max pooling       | none; +0.0 settles the sign of a zero           |                                                | `pooling`   |
| resizing          | none; weights by one division each              |                                                | `pooling`   |
| batch norm        | none; a product and a sum an entry              |                                                | `layer_norm` |
| activations       | none; polynomials of separate roundings         |                                                | `activations` |
| softmax over a dim | integers <= 2^22 in fp64                       | 2^22 · n < 2^53                                | `activations` |

What remains to be trusted is that the process computes fp32 as IEEE says, that an int8 GEMM does not saturate, and that no library has
switched on flush-to-zero or shortened products: `pick_kernel` tries each of these at every start (`probe`).
"""

from ostraka_worker.kernels.gemm import Fp32Kernel, Int8Kernel, Kernel, ReferenceKernel
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.probe import pick_kernel, probe_kernel

__all__ = ["Fp32Kernel", "Int8Kernel", "Kernel", "Linear", "ReferenceKernel", "pick_kernel", "probe_kernel"]
