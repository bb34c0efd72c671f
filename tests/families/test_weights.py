"""What lies on the disk is found, checked and, where it is not whole or not safe, refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import laterna
from laterna.contracts.generation import ModelRef, TextToImage
from laterna.errors import ConfigError, MissingWeights, UnreadableWeights, UnsafeWeights, WeightsError
from laterna.families.family import Family
from laterna.families.safety import plain_weights, variant_of
from laterna.families.weights import resolve_weights
from tests.families.checkpoints import FAMILY
from tests.families.drive import load, paint
from tests.lying import LIES

NETWORKS = ("unet", "vae", "text_encoder")


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint that the test may break."""
    return shutil.copytree(checkpoint("sd15"), tmp_path / "checkpoint")


def weights_of(folder: Path, part: str) -> Path:
    return next((folder / part).glob("*.safetensors"))


def resolve(weights: str) -> Path:
    return resolve_weights(ModelRef(id="a/b", revision="1", family="any", weights=weights, resident_bytes=1))


def test_builtin_weights_lie_in_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models" / "tiny" / "weights").mkdir(parents=True)
    monkeypatch.setattr(laterna, "__file__", str(tmp_path / "__init__.py"))
    assert resolve("builtin:tiny") == tmp_path / "models" / "tiny" / "weights"
    with pytest.raises(MissingWeights, match="builtin:other"):
        resolve("builtin:other")


@pytest.mark.parametrize("weights", ["builtin:../../etc", "builtin:", "path:", "hub:", "tiny", "s3:bucket", "hub:a"])
def test_other_forms_are_refused(weights: str) -> None:
    with pytest.raises(ConfigError, match=r"hub:OWNER/NAME\[@REVISION\]"):
        resolve(weights)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="where nothing is"):
        resolve(f"path:{tmp_path}/none")
    assert resolve(f"path:{tmp_path}") == tmp_path


@pytest.mark.parametrize("part", [*NETWORKS, "tokenizer", "scheduler"])
def test_a_missing_part_is_named(part: str, folder: Path) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(MissingWeights, match=part):
        load("stable_diffusion", folder)


@pytest.mark.parametrize("part", NETWORKS)
def test_pickle_instead_of_safetensors_is_refused(part: str, folder: Path) -> None:
    path = weights_of(folder, part)
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    with pytest.raises(UnsafeWeights, match=rf"{part}: pytorch_model\.bin is pickle"):
        load("stable_diffusion", folder)


def test_pickle_beside_safetensors_is_not_opened(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")
    assert load("stable_diffusion", folder).resident_bytes > 0


@pytest.mark.parametrize("part", NETWORKS)
def test_pickle_under_the_name_of_safetensors_is_unreadable(part: str, folder: Path) -> None:
    torch.save({"weight": torch.ones(3)}, weights_of(folder, part))
    with pytest.raises(UnreadableWeights, match=rf"{part}.*safetensors"):
        load("stable_diffusion", folder)


@pytest.mark.parametrize("keep", [0, 3, 8, 100, 5000, -1])
def test_weights_cut_off_anywhere_are_unreadable(keep: int, folder: Path) -> None:
    path = weights_of(folder, "unet")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableWeights, match=r"diffusion_pytorch_model\.safetensors"):
        load("stable_diffusion", folder)


@pytest.mark.parametrize("lie", LIES)
def test_weights_whose_header_lies_are_unreadable(lie: str, folder: Path) -> None:
    weights_of(folder, "unet").write_bytes(LIES[lie])
    with pytest.raises(UnreadableWeights, match=r"diffusion_pytorch_model\.safetensors|unet"):
        load("stable_diffusion", folder)


@pytest.mark.parametrize("lie", LIES)
def test_a_single_file_whose_header_lies_is_unreadable(lie: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(LIES[lie])
    with pytest.raises(WeightsError):
        load("stable_diffusion", tmp_path / "model.safetensors")


@pytest.mark.parametrize("part", NETWORKS)
def test_a_missing_tensor_is_not_made_up(part: str, folder: Path) -> None:
    path = weights_of(folder, part)
    state = load_file(path)
    lost = sorted(name for name in state if name.endswith("weight"))[0]
    del state[lost]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(UnreadableWeights, match=rf"{part}.*missing keys.*1 in all"):
        load("stable_diffusion", folder)


@pytest.mark.parametrize("part", NETWORKS)
def test_tensors_of_another_shape_are_refused(part: str, folder: Path) -> None:
    path = weights_of(folder, part)
    state = {name: torch.cat([tensor, tensor]) for name, tensor in load_file(path).items()}
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(UnreadableWeights, match=part):
        load("stable_diffusion", folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", '{"_class_name": 3}', '{"block_out_channels": "many"}'])
@pytest.mark.parametrize("name", ["unet/config.json", "vae/config.json", "text_encoder/config.json"])
def test_a_broken_configuration_is_a_weights_error(name: str, content: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(WeightsError, match=name.partition("/")[0]):
        load("stable_diffusion", folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prediction_type": "score"}, "prediction_type = 'score'"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "squaredcos_cap_v2"),
        ({"trained_betas": [0.1]}, "trained_betas"),
    ],
)
def test_noise_that_no_sampler_follows_is_refused(change: dict[str, object], words: str, folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UnreadableWeights, match=words):
        load("stable_diffusion", folder)


def test_a_broken_tokenizer_is_unreadable(folder: Path) -> None:
    for path in (folder / "tokenizer").iterdir():
        path.write_text("{")
    with pytest.raises(UnreadableWeights, match="tokenizer"):
        load("stable_diffusion", folder)


def test_code_beside_a_tokenizer_or_a_network_is_not_run(folder: Path) -> None:
    for part, kind in (("tokenizer", "AutoTokenizer"), ("text_encoder", "AutoModel"), ("unet", "AutoModel")):
        path = folder / part / ("tokenizer_config.json" if part == "tokenizer" else "config.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {kind: "evil.Evil"}}))
        (folder / part / "evil.py").write_text(f"open({str(folder / 'run')!r}, 'w')\nclass Evil: pass\n")
    assert load("stable_diffusion", folder).resident_bytes > 0
    assert not (folder / "run").exists()


def test_quantised_weights_are_refused(folder: Path) -> None:
    path = folder / "unet" / "config.json"
    quantised = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantised}))
    with pytest.raises(UnreadableWeights, match="unet"):
        load("stable_diffusion", folder)


def test_a_tokenizer_of_words_and_merges_is_read(folder: Path, model: Callable[[str], Family]) -> None:
    """As checkpoints of older transformers have it: two tables instead of one tokenizer.json."""
    tokenizer = folder / "tokenizer"
    whole = json.loads((tokenizer / "tokenizer.json").read_text())
    (tokenizer / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    merges = [" ".join(pair) for pair in whole["model"]["merges"]]
    (tokenizer / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (tokenizer / "tokenizer.json").unlink()
    job = TextToImage(prompt="a red fox, an ox", width=64, height=64, steps=1, sampler="ddim", seed=5)
    assert np.array_equal(paint(load("stable_diffusion", folder), job)[0], paint(model("sd15"), job)[0])


def test_a_checkpoint_of_another_family_is_refused(checkpoint: Callable[[str], Path]) -> None:
    for name, other in (("sd15", "flux"), ("flux-dev", "stable_diffusion")):
        with pytest.raises(MissingWeights, match="transformer" if other == "flux" else "unet"):
            load(other, checkpoint(name))


def test_networks_for_more_than_words_are_refused(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """An inpainting network takes a mask and a picture along with the latent."""
    folder = shutil.copytree(checkpoint("sd15"), tmp_path / "inpainting")
    path, config = weights_of(folder, "unet"), folder / "unet" / "config.json"
    state = load_file(path)
    state["conv_in.weight"] = torch.zeros(len(state["conv_in.weight"]), 9, 3, 3)
    save_file(state, path, metadata={"format": "pt"})
    config.write_text(json.dumps({**json.loads(config.read_text()), "in_channels": 9}))
    with pytest.raises(UnreadableWeights, match=r"in_channels = 9.*text-to-image"):
        load("stable_diffusion", folder)


def test_a_variant_alone_is_read(folder: Path) -> None:
    plain = load("stable_diffusion", folder).resident_bytes
    for part in NETWORKS:
        path = weights_of(folder, part)
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    assert variant_of(folder / "unet") == "fp16"
    assert load("stable_diffusion", folder).resident_bytes == plain


def test_the_plain_weights_are_preferred() -> None:
    stem = "diffusion_pytorch_model"
    plain = [f"{stem}-00001-of-00002.safetensors", f"{stem}-00002-of-00002.safetensors"]
    plain.append(f"{stem}.safetensors.index.json")
    others = [f"{stem}.fp16.safetensors", f"{stem}.non_ema.safetensors", "config.json", f"{stem}.bin"]
    assert plain_weights([*plain, *others]) == sorted(plain)
    assert plain_weights(others) == [f"{stem}.fp16.safetensors"]
    assert plain_weights(["config.json"]) == []


@pytest.mark.parametrize("name", FAMILY)
def test_resident_bytes_are_those_of_the_tensors(name: str, checkpoint: Callable[[str], Path]) -> None:
    """Nothing is held twice: what is resident in float32 is what lies in the files, but for buffers."""
    files = list(checkpoint(name).rglob("*.safetensors"))
    stored = sum(tensor.numel() * 4 for path in files for tensor in load_file(path).values())
    resident = load(FAMILY[name], checkpoint(name)).resident_bytes
    assert stored <= resident <= stored * 1.01 + 4096
