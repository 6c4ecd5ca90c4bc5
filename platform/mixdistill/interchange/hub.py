"""Pushes a folder to a data set or model repository of the Hugging Face hub.

The token comes from HF_TOKEN and goes nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mixdistill.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepositoryType = Literal["dataset", "model"]

# Of each type: what its address looks like, and how to tell a person.
_ADDRESSES: Final = {
    "dataset": (re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)/?"), "data set", "hf://datasets/OWNER/NAME"),
    "model": (re.compile(r"hub:([\w.-]+/[\w.-]+)"), "model", "hub:OWNER/NAME"),
}
_MADE_WITH_THE_REPOSITORY = {".gitattributes"}


def is_hub(output: str) -> bool:
    """Whether the output is on the hub."""
    return output.startswith(("hf://", "hub:"))


def refuse_occupied_repository(output: str, kind: RepositoryType) -> None:
    """Refuse a repository that holds files.

    Raises:
        ConfigError: it does, its name is not one, or there is no token.
        StoreError: the hub cannot be asked.
    """
    repository, api = _open(output, kind)
    with _hub_errors(repository):
        if not api.repo_exists(repository, repo_type=kind):
            return
        files = set(api.list_repo_files(repository, repo_type=kind)) - _MADE_WITH_THE_REPOSITORY
    if files:
        raise ConfigError(
            f"the repository {output} holds {len(files)} files ({', '.join(sorted(files)[:3])}, ...), expected an empty or "
            "new one; give another name, or --overwrite to replace files of the same name"
        )


def push(folder: Path, output: str, kind: RepositoryType, *, private: bool, message: str) -> str:
    """Commit a folder's files to a repository, which is made if it is not there; returns the commit's address.

    Raises:
        ConfigError: the repository's name is not one, or there is no token.
        StoreError: the hub refuses or cannot be reached.
    """
    repository, api = _open(output, kind)
    with _hub_errors(repository):
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repository, folder_path=folder, repo_type=kind, commit_message=message)
    return commit.commit_url


def _open(output: str, kind: RepositoryType) -> tuple[str, HfApi]:
    address, what, form = _ADDRESSES[kind]
    match = address.fullmatch(output)
    if match is None:
        raise ConfigError(f"{output} names no {what} of the hub, expected {form}")
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise ConfigError(f"pushing to {output} needs a token that may write there; set the environment variable HF_TOKEN")
    from huggingface_hub import HfApi

    return match[1], HfApi(token=token)


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    import httpx2  # what huggingface_hub lets out when there is no connection
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{repository} is no name of a repository: {error}") from error
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise StoreError(
            f"the hub refused or could not be reached for {repository}: {error}; check the name, the token's rights "
            "and the network"
        ) from error
