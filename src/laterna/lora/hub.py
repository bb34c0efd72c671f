"""Adapters of a model hub, by the real `huggingface_hub` and never with a credential.

`HF_ENDPOINT` names another hub, `HF_HUB_OFFLINE` forbids asking. Of a repository one safetensors file is taken: the one
that the path names, one of the usual names, or the only one. The hub's own cache is not used: what users name must not
fill the disk, and the shelf has a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

from laterna.errors import FetchError, FetchTooLarge, MissingAdapter, UnreadableAdapter

SAFE = ".safetensors"
PICKLE = (".bin", ".ckpt", ".pt", ".pth")
USUAL = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
CONFIG = "adapter_config.json"
LARGEST_CONFIG = 1_000_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Located:
    """One file of one commit."""

    repo: str
    commit: str
    file: str
    config: str | None  # PEFT's configuration beside it; absent when there is none


def locate(repo: str, file: str | None) -> Located:
    """The file and the commit that the repository is at now.

    Raises MissingAdapter where the hub does not have it or does not give it away, UnreadableAdapter where it has pickle
    alone or several files to choose from, and FetchError where it does not answer.
    """
    with _named(repo):
        info = HfApi(token=False).model_info(repo, revision=constants.DEFAULT_REVISION)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    chosen = _choose(repo, file, names)
    beside = str(PurePosixPath(chosen).with_name(CONFIG))
    return Located(repo=repo, commit=str(info.sha), file=chosen, config=beside if beside in names else None)


def download(located: Located, folder: Path, limit_bytes: int) -> tuple[Path, bytes | None]:
    """The file, now below the folder, and its configuration. Raises as `locate`, and FetchTooLarge."""
    path = _file(located, located.file, folder, limit_bytes)
    if located.config is None:
        return path, None
    return path, _file(located, located.config, folder, LARGEST_CONFIG).read_bytes()


def _file(located: Located, name: str, folder: Path, limit_bytes: int) -> Path:
    with _named(located.repo):
        url = hf_hub_url(located.repo, name, revision=located.commit)
        size = get_hf_file_metadata(url, token=False).size
        if size is None or size > limit_bytes:
            raise FetchTooLarge(f"{located.repo}/{name} is larger than the limit of {limit_bytes} bytes: {size}")
        return Path(hf_hub_download(located.repo, name, revision=located.commit, local_dir=folder, token=False))


def _choose(repo: str, file: str | None, names: Sequence[str]) -> str:
    if file is not None:
        if PurePosixPath(file).suffix in PICKLE:
            raise UnreadableAdapter(f"{repo}/{file} is pickle, which can run code when opened; name a {SAFE} file")
        if file not in names:
            raise MissingAdapter(f"the hub's {repo} has no file {file!r}; it has {_listed(names)}")
        return file
    safe = [name for name in names if "/" not in name and name.endswith(SAFE)]
    usual = [name for name in USUAL if name in safe]
    if usual or len(safe) == 1:
        return (usual or safe)[0]
    if safe:
        raise UnreadableAdapter(f"the hub's {repo} has several files ({_listed(safe)}); name one: {repo}/FILE")
    if any(name.endswith(PICKLE) for name in names):
        raise UnreadableAdapter(f"the hub has {repo} as pickle alone, which can run code when opened; convert it")
    raise MissingAdapter(f"the hub's {repo} has no {SAFE} file; it has {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:8]) or "none"


@contextmanager
def _named(repo: str) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise MissingAdapter(f"the hub's {repo} is gated; download it and upload it here") from error
    except RepositoryNotFoundError as error:
        raise MissingAdapter(f"{constants.ENDPOINT} has no public repository {repo}") from error
    except EntryNotFoundError as error:
        raise MissingAdapter(f"the hub's {repo} no longer has the file; try again") from error
    except (OSError, httpx2.HTTPError) as error:
        raise FetchError(f"{constants.ENDPOINT} did not give {repo}: {type(error).__name__}; try again") from error
