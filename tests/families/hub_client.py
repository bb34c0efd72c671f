"""Resolves weights in a process of its own, as `huggingface_hub` reads its environment when it is imported.

Prints one line of JSON: the path, or the error's class and message.
"""

from __future__ import annotations

import json
import sys

from laterna.contracts.generation import ModelRef
from laterna.errors import LaternaError
from laterna.families.weights import resolve_weights


def main(weights: str) -> None:
    ref = ModelRef(id="test/model", revision="1", family="any", weights=weights, resident_bytes=1)
    try:
        print(json.dumps({"path": str(resolve_weights(ref))}))
    except LaternaError as error:
        print(json.dumps({"error": type(error).__name__, "message": error.message}))


if __name__ == "__main__":
    main(sys.argv[1])
