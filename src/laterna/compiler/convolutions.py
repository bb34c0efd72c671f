"""Convolutions on weights that are packed for oneDNN once, rather than at every call.

Eager torch reorders the weights of a convolution each time it runs: a third of a step of Stable Diffusion 1.5. The
best order depends on the size of the picture and on whether there is more than one, and the answer does not; so one
copy is kept, in the order of the latest call. One primitive serves all batch sizes, whereas eager torch takes others
for a batch of one, whose answers differ in the last bits.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

TOLERANCE = 1e-4  # of the largest output, by which a packed convolution may differ from the untouched one


def pack_convolutions(network: nn.Module) -> None:
    """Replace the weights of those that can be packed. Raises RuntimeError where the answers do not agree."""
    if not torch._C._has_mkldnn:
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _can_be_packed(module):
            packed = Packed(module)
            packed.check(module)
            cast("Any", module).forward = packed
            # Shape, type and place are still asked for; the numbers have moved.
            hollow = torch.zeros(1, dtype=module.weight.dtype).expand(module.weight.shape)
            module.weight = nn.Parameter(hollow, requires_grad=False)


def _can_be_packed(module: nn.Conv2d) -> bool:
    weight = module.weight
    plain = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return plain and weight.device.type == "cpu" and weight.dtype == torch.float32


class Packed:
    """What a convolution computes, [b, in, h, w] -> [b, out, h, w]."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._bias = module.bias
        self._how = (module.padding, module.stride, module.dilation, module.groups)
        self._weight = module.weight.detach().to_mkldnn()
        self._packed_for: tuple[int, ...] = ()  # whether one or more, height and width

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self._pack(x)
        answer: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._how, "none", [], ""
        )
        return answer

    def _pack(self, x: torch.Tensor) -> None:
        wanted = (min(len(x), 2), *x.shape[2:])
        if wanted != self._packed_for:
            shape = (wanted[0], *x.shape[1:])
            reorder = cast("Any", torch._C._nn).mkldnn_reorder_conv2d_weight
            self._weight, self._packed_for = reorder(self._weight, *self._how, shape), wanted

    @torch.no_grad()
    def check(self, module: nn.Conv2d) -> None:
        """Compare with the untouched one on noise."""
        side = 2 * max(module.kernel_size)
        noise = torch.randn(2, module.in_channels, side, side, generator=torch.Generator().manual_seed(0))
        wanted = F.conv2d(noise, module.weight, module.bias, module.stride, module.padding, *self._how[2:])
        error = float((self(noise) - wanted).abs().max())
        if error > TOLERANCE * max(1.0, float(wanted.abs().max())):
            raise RuntimeError(f"a packed convolution differs by {error:.2g} from the untouched one: {module}")
