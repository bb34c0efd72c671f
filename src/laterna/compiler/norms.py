"""Group norms whose answer for a picture does not depend on how many there are.

Where channels lie last in memory, which is how packed convolutions answer, torch sums a group over threads in parts
that depend on the batch; where they lie first it does not.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn


def steady_norms(network: nn.Module) -> None:
    """Give group norms on a CPU channels that lie first."""
    for module in network.modules():
        if type(module) is nn.GroupNorm and (module.weight is None or module.weight.device.type == "cpu"):
            cast("Any", module).forward = partial(_norm, module)


def _norm(module: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
    return F.group_norm(x.contiguous(), module.num_groups, module.weight, module.bias, module.eps)
