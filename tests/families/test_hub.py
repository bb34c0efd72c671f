"""Weights from a hub: the real `huggingface_hub` against a hub on loopback, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from laterna.contracts.generation import TextToImage
from laterna.errors import ConfigError, MissingWeights, UnsafeWeights
from laterna.families.family import Family
from laterna.families.hub import choose
from tests.families.drive import load, paint
from tests.families.hub_server import Hub, serve

ROOT = Path(__file__).parents[2]
Fetch = Callable[..., dict[str, str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path) -> Fetch:
    """Resolve weights with an empty cache of the test's own."""

    def get(weights: str, **environment: str) -> dict[str, str]:
        around = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_secret"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.families.hub_client", weights],
            cwd=ROOT,
            env={**around, **own, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return get


def offer(hub: Hub, folder: Path, name: str = "someone/tiny", revision: str = "main") -> Path:
    hub.repositories.setdefault(name, {})[revision] = folder
    return folder


@pytest.fixture
def repository(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint as hubs have them: with a variant, pickle and other things beside what is needed."""
    folder = shutil.copytree(checkpoint("sd15"), tmp_path / "repository")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"not wanted")
    (folder / "v1-5-pruned.safetensors").write_bytes(b"not wanted")
    (folder / "README.md").write_text("not wanted")
    (folder / "unet" / "model.py").write_text("raise SystemExit")
    return folder


def test_a_snapshot_is_what_is_needed_and_paints(
    hub: Hub, fetch: Fetch, repository: Path, model: Callable[[str], Family]
) -> None:
    offer(hub, repository)
    got = fetch("hub:someone/tiny")
    job = TextToImage(prompt="an ox", width=64, height=64, steps=2, sampler="ddim", seed=5)
    assert np.array_equal(paint(load("stable_diffusion", Path(got["path"])), job)[0], paint(model("sd15"), job)[0])
    there = sorted(str(p.relative_to(got["path"])) for p in Path(got["path"]).rglob("*") if not p.is_dir())
    assert there == hub.downloaded()
    assert not [name for name in there if "fp16" in name or "not wanted" in Path(got["path"], name).read_text("latin1")]
    assert {name.rpartition(".")[2] for name in there} == {"json", "safetensors"}
    assert not hub.credentials, "a token was sent"


def test_the_cache_serves_when_the_hub_is_gone(hub: Hub, fetch: Fetch, repository: Path) -> None:
    offer(hub, repository)
    first = fetch("hub:someone/tiny")
    asked = len(hub.asked)
    assert fetch("hub:someone/tiny", HF_ENDPOINT="http://127.0.0.1:9") == first
    assert fetch("hub:someone/tiny", HF_HUB_OFFLINE="1") == first
    assert len(hub.asked) == asked


def test_a_revision_is_pinned(hub: Hub, fetch: Fetch, repository: Path, tmp_path: Path) -> None:
    old = shutil.copytree(repository, tmp_path / "old")
    (old / "model_index.json").write_text('{"_class_name": "Old"}')
    offer(hub, repository)
    offer(hub, old, revision="v1")
    for revision in ("v1", hub.commit(old)):
        path = Path(fetch(f"hub:someone/tiny@{revision}")["path"])
        assert path.name == hub.commit(old)
        assert "Old" in (path / "model_index.json").read_text()
    assert Path(fetch("hub:someone/tiny")["path"]).name == hub.commit(repository)


def test_a_single_file_repository(hub: Hub, fetch: Fetch, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = offer(hub, tmp_path / "single")
    folder.mkdir()
    source = checkpoint("sd15") / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(source, folder / "all.safetensors")
    (folder / "all.ckpt").write_bytes(b"pickle")
    path = Path(fetch("hub:someone/tiny")["path"])
    assert path.name == "all.safetensors"
    assert path.read_bytes() == source.read_bytes()
    assert hub.downloaded() == ["all.safetensors"]


def test_pickle_is_refused_before_it_is_downloaded(hub: Hub, fetch: Fetch, repository: Path) -> None:
    for path in (repository / "unet").glob("*.safetensors"):
        path.unlink()
    offer(hub, repository)
    got = fetch("hub:someone/tiny")
    assert got["error"] == "UnsafeWeights"
    assert "unet/diffusion_pytorch_model.bin is pickle" in got["message"]
    assert hub.downloaded() == []


def test_a_gated_model_says_what_to_do(hub: Hub, fetch: Fetch, repository: Path) -> None:
    offer(hub, repository)
    hub.gated.add("someone/tiny")
    got = fetch("hub:someone/tiny")
    assert got["error"] == "MissingWeights"
    assert "someone/tiny is gated" in got["message"]
    assert "path:FOLDER" in got["message"]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("hub:someone/else", "no public model someone/else"),
        ("hub:someone/tiny@v9", "someone/tiny has no revision 'v9'"),
    ],
)
def test_what_the_hub_does_not_have(weights: str, words: str, hub: Hub, fetch: Fetch, repository: Path) -> None:
    offer(hub, repository)
    got = fetch(weights)
    assert got["error"] == "MissingWeights"
    assert words in got["message"]


@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_no_hub_and_no_cache(environment: dict[str, str], fetch: Fetch) -> None:
    got = fetch("hub:someone/tiny", **environment)
    assert got["error"] == "MissingWeights"
    assert "does not answer" in got["message"]
    assert "HF_ENDPOINT" in got["message"]


@pytest.mark.parametrize("weights", ["hub:tiny", "hub:a/b/c", "hub:a/b@", "hub:a/b@c d", "hub:../b?x"])
def test_other_names_are_refused(weights: str, fetch: Fetch) -> None:
    assert fetch(weights)["error"] == "ConfigError"


def test_the_choice_of_files() -> None:
    flux = ["model_index.json", "flux1.safetensors", "transformer/config.json", "scheduler/scheduler_config.json"]
    shards = [f"transformer/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "transformer/diffusion_pytorch_model.safetensors.index.json"
    halves = ["text_encoder/model.fp16.safetensors", "text_encoder/model.non_ema.safetensors"]
    words = [
        "tokenizer/merges.txt",
        "tokenizer/spiece.model",
        "tokenizer/tokenizer.json",
        "tokenizer/model.safetensors",
    ]
    chosen = choose("a/b", [*flux, *shards, index, *halves, *words, "transformer/deep/er.json"])
    assert set(chosen) == {*flux, *shards, index, halves[0], *words} - {"flux1.safetensors", words[3]}
    with pytest.raises(UnsafeWeights, match=r"model\.bin"):
        choose("a/b", ["model_index.json", "unet/config.json", "unet/model.bin"])
    with pytest.raises(MissingWeights, match="unet/"):
        choose("a/b", ["model_index.json", "unet/config.json"])
    with pytest.raises(UnsafeWeights, match=r"sd\.ckpt"):
        choose("a/b", ["README.md", "sd.ckpt"])
    with pytest.raises(MissingWeights, match="neither"):
        choose("a/b", ["README.md"])
    with pytest.raises(ConfigError, match=r"a\.safetensors, b\.safetensors"):
        choose("a/b", ["a.safetensors", "b.safetensors"])
