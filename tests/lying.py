"""safetensors files whose headers lie: each is small, and says that it is something else."""

from __future__ import annotations

import json
from typing import Any

DATA = bytes(64)


def file(header: bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def one(**changes: Any) -> bytes:
    """A file with one tensor, "a"."""
    entry = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **changes}
    return file(json.dumps({"a": entry}).encode())


LIES = {
    "a header longer than the file": file(b'{"a": 1}', length=10**6),
    "a header longer than memory": file(b'{"a": 1}', length=2**63),
    "a header of all there is": file(b'{"a": 1}', length=2**64 - 1),
    "a header of nothing": file(b"{}", length=0),
    "a header that is no JSON": file(b'{"a": '),
    "a header that is no object": file(b"[1, 2]  "),
    "a header without a bottom": file(b'{"a":' * 20_000),
    "a header of letters that are none": file(b'{"\xff\xfe": 1}'),
    "a shape of terabytes": one(shape=[10**6, 10**6]),
    "a shape that overflows": one(shape=[2**62, 4]),
    "a shape below nothing": one(shape=[-4, -4]),
    "a shape of fractions": one(shape=[4.5, 4]),
    "a shape that is no list": one(shape="4x4"),
    "data behind the end": one(data_offsets=[0, 10**9]),
    "data before the beginning": one(data_offsets=[-64, 0]),
    "data that ends before it begins": one(data_offsets=[64, 0]),
    "data with a hole before it": one(shape=[4, 2], data_offsets=[32, 64]),
    "data with a hole behind it": one(shape=[4, 2], data_offsets=[0, 32]),
    "data for less than its shape": one(data_offsets=[0, 60]),
    "a type that is none": one(dtype="PICKLE"),
    "no type": one(dtype=None),
    "two tensors on the same data": file(
        json.dumps({n: {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]} for n in "ab"}).encode()
    ),
    "metadata that is no text": file(json.dumps({"__metadata__": {"a": [1]}}).encode()),
    "one tensor twice": file(
        b'{"a":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]},"a":{"dtype":"F32","shape":[2],"data_offsets":[64,72]}}'
    ),
}
