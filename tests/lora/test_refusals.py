"""What cannot be applied is refused with the tensor's name; no file whatever does worse than that."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from laterna.errors import AdapterError, AdapterMismatch, UnreadableAdapter, UnsupportedAdapter
from laterna.lora.adapter import fit
from laterna.lora.reading import LARGEST_HEADER, AdapterFile, read
from tests.lora.making import Tensors, make, peft
from tests.lora.networks import flux_layers, flux_networks, unet_layers, unet_networks
from tests.lying import LIES

STEM = "lora_unet_mid_block_attentions_0_proj_in"


def good() -> Tensors:
    return peft(make({"unet": unet_networks()["unet"]}, 1, only="proj_in"))


def tried(tensors: Tensors, config: Any = None, **header: str) -> None:
    fit(AdapterFile(tensors=tensors, metadata=header, config=config or {}), unet_layers())


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (f"{STEM}.dora_scale", "DoRA"),
        ("unet.mid_block.attentions.0.proj_in.lora_magnitude_vector", "DoRA"),
        ("base_model.model.mid_block.attentions.0.proj_in.lora_magnitude_vector.default.weight", "DoRA"),
        (f"{STEM}.hada_w1_a", "LoHa"),
        (f"{STEM}.lokr_w1", "LoKr"),
        (f"{STEM}.lora_mid.weight", "Tucker"),
        (f"{STEM}.oft_blocks", "OFT"),
        (f"{STEM}.diff", "difference"),
        (f"{STEM}.diff_b", "difference"),
        ("unet.mid_block.attentions.0.proj_in.lora_B.bias", "bias"),
    ],
)
def test_other_kinds(key: str, kind: str) -> None:
    with pytest.raises(UnsupportedAdapter, match=kind) as caught:
        tried({**good(), key: torch.zeros(4, 4)})
    assert key in caught.value.message


def test_dora_that_only_the_configuration_tells() -> None:
    with pytest.raises(UnsupportedAdapter, match="DoRA"):
        tried(good(), {"use_dora": True})
    with pytest.raises(UnsupportedAdapter, match="DoRA"):
        tried(good(), lora_adapter_metadata=json.dumps({"unet.use_dora": True}))


@pytest.mark.parametrize("said", ["{", "[]", '{"unet.lora_alpha": "x"}', '{"unet.lora_alpha": NaN}'])
def test_metadata_that_says_nothing_readable(said: str) -> None:
    with pytest.raises(UnreadableAdapter):
        tried(good(), lora_adapter_metadata=said)


def test_patterns_that_are_regular_expressions() -> None:
    with pytest.raises(UnsupportedAdapter, match="alpha_pattern"):
        tried(good(), {"alpha_pattern": {"(a+)+$": 2}, "lora_alpha": 1})


def test_half_a_pair() -> None:
    tensors = good()
    gone = next(key for key in tensors if "lora_B" in key)
    del tensors[gone]
    with pytest.raises(UnreadableAdapter, match=gone.removesuffix(".lora_B.weight").removeprefix("unet.")):
        tried(tensors)


def test_another_models_adapter() -> None:
    other = peft(make({"transformer": flux_networks()["transformer"]}, 1))
    with pytest.raises(AdapterMismatch, match="time_text_embed"):
        tried(other)
    with pytest.raises(AdapterMismatch):
        tried({})
    wrong = {key: torch.zeros(4, 77) if "lora_A" in key else tensor for key, tensor in good().items()}
    with pytest.raises(AdapterMismatch, match="77"):
        tried(wrong)
    tall = {key: torch.zeros(78, 4) if "lora_B" in key else tensor for key, tensor in good().items()}
    with pytest.raises(AdapterMismatch, match="78"):
        tried(tall)


def test_a_few_unknown_tensors_are_remarked() -> None:
    extra = {
        "lora_unet_nothing.lora_down.weight": torch.ones(1, 1),
        "lora_unet_nothing.lora_up.weight": torch.ones(1, 1),
    }
    adapter = fit(AdapterFile(tensors={**good(), **extra, "odd": torch.ones(1)}, metadata={}, config={}), unet_layers())
    assert adapter.unmatched == ("lora_unet_nothing", "odd")
    remark = adapter.remark()
    assert remark is not None
    assert "lora_unet_nothing" in remark
    assert "2" in remark


def test_fused_factors_of_another_width() -> None:
    wrong = {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.zeros(2, 32)}
    wrong["lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight"] = torch.zeros(95, 2)
    with pytest.raises(AdapterMismatch, match="95"):
        fit(AdapterFile(tensors=wrong, metadata={}, config={}), flux_layers())


def test_files_that_are_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x"
    whole = save(good())
    header = (LARGEST_HEADER + 1).to_bytes(8, "little")
    for content, said in (
        (b"", "not safetensors"),
        (b"short", "not safetensors"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"PK\x03\x04" + b"0" * 64, "pickle"),
        (header + b"{" + b" " * 64, "header"),
        (whole[:-8], "whole"),
        (whole + b"more", "whole"),
    ):
        path.write_bytes(content)
        with pytest.raises(UnreadableAdapter, match=said):
            read(path)
    with pytest.raises(UnreadableAdapter, match="opened"):
        read(tmp_path / "nothing")
    path.write_bytes(whole)
    assert read(path).tensors.keys() == good().keys()


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie(lie: str, tmp_path: Path) -> None:
    (tmp_path / "lie").write_bytes(LIES[lie])
    with pytest.raises(AdapterError):
        fit(read(tmp_path / "lie"), unet_layers())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(save(good()))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content) - 1, 1500)))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(bytes(content[: data.draw(st.sampled_from([len(content), 700, 9]))]))
    with contextlib.suppress(AdapterError):
        fit(read(path), unet_layers())
