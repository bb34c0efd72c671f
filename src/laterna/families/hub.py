"""Weights from a model hub, by the real `huggingface_hub`: only what is needed, never pickle, never with a credential.

`HF_ENDPOINT` names another hub, `HF_HOME` another cache, `HF_HUB_OFFLINE` forbids asking; a model that is in the cache
loads without a network. Gated models need a person's consent, which a server cannot give: load them from a path.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from laterna.errors import ConfigError, MissingWeights
from laterna.families.safety import SAFE, plain_weights, refuse_pickle

NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
INDEX = "model_index.json"  # only checkpoints in the diffusers layout have it
NETWORKS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2")
OTHERS = ("tokenizer", "tokenizer_2", "scheduler")
TEXTS = (".json", ".txt", ".model")  # configurations, vocabularies and sentencepiece models


def download(name: str) -> Path:
    """The checkpoint `OWNER/NAME[@REVISION]` as a folder, or as a file where the repository is a single one.

    Raises ConfigError for a name of another form, UnsafeWeights where the hub has pickle only, and MissingWeights where
    the hub cannot be reached, does not have it or does not give it away.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"weights: 'hub:{name}' is not of the form hub:OWNER/NAME[@REVISION]")
    repo, revision = match["repo"], match["revision"] or constants.DEFAULT_REVISION
    try:
        return _fetch(repo, revision)
    except GatedRepoError as error:
        raise MissingWeights(
            f"weights: {repo} is gated: accept its terms on {_hub()}, download it there, and say path:FOLDER"
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingWeights(f"weights: {_hub()} has no public model {repo}; correct the card") from error
    except RevisionNotFoundError as error:
        raise MissingWeights(f"weights: {repo} has no revision {revision!r}; correct the card") from error
    except (OSError, httpx2.HTTPError) as error:
        raise MissingWeights(f"weights: {repo}@{revision} did not arrive from {_hub()}: {error}; try again") from error


def _fetch(repo: str, revision: str) -> Path:
    try:
        info = HfApi(token=False).model_info(repo, revision=revision)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        return _cached(repo, revision, error)
    wanted = choose(repo, [sibling.rfilename for sibling in info.siblings or ()])
    patterns = [glob.escape(name) for name in wanted]
    folder = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, token=False))
    return _checkpoint(folder)


def _cached(repo: str, revision: str, why: Exception) -> Path:
    """What an earlier download left. Raises MissingWeights, or `why` where the hub said that it will not give it."""
    try:
        folder = snapshot_download(repo, revision=revision, allow_patterns=[], local_files_only=True, token=False)
    except OSError as error:
        if isinstance(why, RepositoryNotFoundError | RevisionNotFoundError):
            raise why from error
        raise MissingWeights(
            f"weights: {repo}@{revision} is not in the cache and {_hub()} does not answer ({why}); "
            "connect, set HF_ENDPOINT to a mirror, or say path:FOLDER"
        ) from error
    return _checkpoint(Path(folder))


def _checkpoint(folder: Path) -> Path:
    if (folder / INDEX).exists():
        return folder
    files = sorted(folder.glob(f"*{SAFE}"))
    if len(files) != 1:
        raise MissingWeights(f"weights: {folder} holds no complete checkpoint; connect to {_hub()} and try again")
    return files[0]


def choose(repo: str, names: Iterable[str]) -> list[str]:
    """The files of a repository that are needed to load it.

    Raises UnsafeWeights where a network is there as pickle only, MissingWeights where it is not there at all, and
    ConfigError where several single-file checkpoints leave the choice open.
    """
    names = sorted(names)
    if INDEX in names:
        parts = [part for part in (*NETWORKS, *OTHERS) if any(name.startswith(f"{part}/") for name in names)]
        return [INDEX, *(name for part in parts for name in _part(repo, part, names))]
    files = [name for name in names if "/" not in name and name.endswith(SAFE)]
    if not files:
        refuse_pickle(repo, names)
        raise MissingWeights(f"weights: {repo} holds neither {INDEX} nor a {SAFE} file; choose another model")
    if len(files) > 1:
        listed = ", ".join(files)
        raise ConfigError(f"weights: {repo} holds several checkpoints ({listed}); download one and say path:FILE")
    return files


def _part(repo: str, part: str, names: Iterable[str]) -> list[str]:
    """The files of one folder: texts, and of its weights the plain ones or else one variant."""
    inside = [name for name in names if PurePosixPath(name).parent == PurePosixPath(part)]
    texts = [name for name in inside if name.endswith(TEXTS) and not name.endswith(".index.json")]
    if part in OTHERS:
        return texts
    weights = plain_weights(inside)
    if not weights:
        refuse_pickle(repo, inside)
        raise MissingWeights(f"weights: {repo} holds no {SAFE} file in {part}/; choose another model")
    return texts + weights


def _hub() -> str:
    return str(constants.ENDPOINT)
