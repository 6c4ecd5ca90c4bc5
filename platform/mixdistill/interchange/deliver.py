"""Brings a finished folder to where it shall be: a local folder, a folder at any fsspec URL, or the hub.

Everything is written locally first, so that a mistake in the data leaves no half data set behind; the card goes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from mixdistill.errors import ConfigError, MissingDependencyError, StoreError
from mixdistill.interchange.hub import RepositoryType, is_hub, push, refuse_occupied_repository

CARD_FILE = "README.md"


def refuse_occupied(output: str, kind: RepositoryType = "dataset") -> None:
    """Refuse an output that holds files, before any work is done.

    Args:
        output: a folder, a URL or a repository of the hub.
        kind: what it shall hold.

    Raises:
        ConfigError: it holds files, or names no place.
        StoreError: it cannot be looked at.
    """
    if is_hub(output):
        refuse_occupied_repository(output, kind)
        return
    with _clear_errors(output):
        filesystem, root = url_to_fs(output)
        if filesystem.isfile(root):
            raise ConfigError(f"{output} is a file, expected a folder; give another output")
        held = filesystem.ls(root, detail=False) if filesystem.isdir(root) else []
    if held:
        raise ConfigError(
            f"{output} holds {len(held)} files or folders, expected an empty or new folder; give another one, or --overwrite "
            "to replace files of the same name"
        )


def deliver(folder: Path, output: str, *, private: bool, message: str, kind: RepositoryType = "dataset") -> str:
    """Copy a folder's files to the output, replacing files of the same name; returns where they are now.

    Args:
        folder: what to copy, with all below it.
        output: a folder, a URL or a repository of the hub.
        private: whether a repository that is made on the hub is.
        message: of the commit on the hub.
        kind: what the folder holds.

    Raises:
        ConfigError: the output names no place, or there is no token for the hub.
        StoreError: it cannot be written.
    """
    if is_hub(output):
        return push(folder, output, kind, private=private, message=message)
    with _clear_errors(output):
        filesystem, root = url_to_fs(output)
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        for file in sorted(files, key=lambda name: (name == CARD_FILE, name)):
            target = f"{root.rstrip('/')}/{file}"
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(folder / file), target)
    return output


@contextmanager
def _clear_errors(output: str) -> Iterator[Any]:
    try:
        yield
    except (ConfigError, StoreError):
        raise
    except ImportError as error:
        raise MissingDependencyError(f"cannot open {output}: {error}; install the fsspec back end of this protocol") from error
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror or error}; choose a writable folder or URL") from error
    except ValueError as error:  # what fsspec raises for a protocol that it does not know
        raise ConfigError(f"cannot open {output}: {error}; give a folder, a URL or a repository of the hub") from error
