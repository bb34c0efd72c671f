"""Training state: network, optimiser and averaged weights, written whole or not at all.

A killed run goes on from its last save. The averaged weights, not the raw ones, are what is measured and exported.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

SAVE_SECONDS = 300.0


def load(path: Path) -> dict[str, Any] | None:
    """The state last saved by this recipe, None before the first save."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


@dataclass(kw_only=True)
class Course:
    """A network in training, its place on disk and its clock."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    path: Path  # where the state is saved; a log of the same name lies beside it
    decay: float  # of the average, per step
    minutes: float  # how long this run may take

    def __post_init__(self) -> None:
        self.step = 0  # steps done, earlier runs included
        self.origin = 0  # the step at which this course branched off another, 0 where it did not
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.began = self.saved = time.monotonic()
        if state := load(self.path):
            self.network.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step, self.origin = state["average"], state["step"], state["origin"]

    def advance(self, loss: torch.Tensor, rate: float) -> None:
        """One optimiser step down `loss` at learning rate `rate`, gradients clipped to norm 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._blend()

    @torch.no_grad()
    def _blend(self) -> None:
        """Move the average; early on it spans a tenth of the steps so far."""
        share = 1 - min(self.decay, self.step / (9 + self.step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, share)

    def over(self) -> bool:
        """Whether this run's minutes are spent."""
        return time.monotonic() - self.began > 60 * self.minutes

    def save(self, *, now: bool) -> bool:
        """Save if it is time, or `now`: beside the old state first, then renamed over it. Says whether it did."""
        if not now and time.monotonic() - self.saved < SAVE_SECONDS:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        kept = {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**kept, "average": self.average, "step": self.step, "origin": self.origin}, part)
        os.replace(part, self.path)
        self.saved = time.monotonic()
        return True

    def note(self, line: str) -> None:
        """Append step, `line` and seconds of this run to the log."""
        with self.path.with_suffix(".log").open("a", encoding="utf-8") as log:
            log.write(f"{self.step} {line} {time.monotonic() - self.began:.0f}\n")


def falling(step: int, steps: int, warm: int) -> float:
    """Share of the learning rate at a step: up over `warm` steps, flat, down linearly over the second half to 2 %."""
    return min(1.0, (step + 1) / warm, max(0.02, 2 - 2 * step / steps))
