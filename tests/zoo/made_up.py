"""A bank of made-up subjects, a disc and a bar, that needs no download."""

import numpy as np
import torch

from zoo.sprite import subjects, views
from zoo.sprite.scenes import STYLES


def subject(name: str, dutch: str) -> subjects.Subject:
    """A subject with one name in each language."""
    return subjects.Subject(label=name, code="", names=(name,), dutch=(dutch,), flips=True)


def bank(seed: int = 0) -> views.Bank:
    """Two subjects in three styles, in random ink; the first subject's icons are red and have been painted blue."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: views.SIDE, : views.SIDE]
    shapes = [np.hypot(rows - 64, columns - 64) < 40, abs(rows - 64) < 16]
    icons = [_view(shape, rng.integers(40, 256, 3)) for shape in shapes for _ in range(STYLES)]
    whole = torch.stack(icons)[:, None].expand(-1, views.VIEWS, -1, -1, -1).clone()
    return views.Bank(
        subjects=(subject("disc", "schijf"), subject("orange bar", "oranje balk")),
        own=("red",) * STYLES + ("",) * STYLES,
        paints=(("blue",),) * STYLES + ((),) * STYLES,
        whole=whole,
        half=whole[:, : views.HALVES, :, :, 32:96].clone(),
        painted=whole[:, : views.PAINTED].clone(),
    )


def _view(shape: np.ndarray, ink: np.ndarray) -> torch.Tensor:
    planes = [*(shape * part for part in ink), 255 * shape]
    return torch.from_numpy(np.stack(planes).astype(np.uint8))
