"""The sliced fp32 kernel with its weights and products on a GPU; everything between the products stays on the CPU, in the same code.

The bound of `gemm` holds wherever fp32 is fp32: integers below 2^24 in slices of 1024, in any order, fused or not. TF32, which would
shorten operands to 11 bits, is asked off, and the probe's extreme products show whether it is. So a GPU agrees with a CPU bit for
bit; it pays where matrices are large and batches long, since rows cross the bus for every layer.

Never picked by itself: ask with `--kernel cuda`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ostraka.errors import ConfigError
from ostraka_worker.kernels.gemm import K_SLICE, LIMB, Float32, Int8, Kernel, Packed, split_limbs

_BYTES = 4  # of a weight on the device, which holds fp32; RAM keeps the int8 one


class _DevicePacked(Packed):
    def __init__(self, weight: Int8, device: torch.device) -> None:
        super().__init__(weight)
        self._device = device
        self._wide = torch.from_numpy(np.array(weight, np.float32)).to(device).t()  # [K, N]

    def multiply(self, q: Int8) -> Float32:
        return self._exact(self._send(q), self._wide).float().cpu().numpy()

    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        gathered = self._wide[torch.from_numpy(columns).to(self._device)]
        high, low = split_limbs(values)
        total = self._exact(self._send(high), gathered) * LIMB + self._exact(self._send(low), gathered)
        sums: Float32 = total.float().cpu().numpy()
        return sums

    def _send(self, q: Int8) -> torch.Tensor:
        return torch.from_numpy(q.astype(np.float32)).to(self._device)

    def _exact(self, q: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
        """Integer-valued fp32 [T, K] · [K, N] -> fp64 [T, N]. Adding to 0 leaves no -0.0."""
        total = torch.zeros((q.shape[0], wide.shape[1]), dtype=torch.float64, device=self._device)
        for at in range(0, q.shape[1], K_SLICE):
            total += torch.mm(q[:, at : at + K_SLICE], wide[at : at + K_SLICE])
        return total


class CudaKernel(Kernel):
    """Raises `ConfigError` where torch finds no GPU. `device` is for tests: any torch device will do."""

    name = "cuda"

    def __init__(self, device: str = "cuda") -> None:
        if device.startswith("cuda"):
            if not torch.cuda.is_available():
                raise ConfigError("kernel: cuda needs an NVIDIA GPU and a CUDA build of torch; leave the kernel out")
            torch.backends.cuda.matmul.allow_tf32 = False
        self._device = torch.device(device)

    def device_room(self) -> int | None:
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free) // _BYTES

    def pack(self, weight: Int8) -> Packed:
        return _DevicePacked(weight, self._device)
