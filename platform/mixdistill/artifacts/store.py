"""Finds, writes and finishes artifacts under one URL."""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from mixdistill.artifacts.manifest import Manifest
from mixdistill.errors import StoreError

MANIFEST_FILE = "manifest.json"
ROW_GROUP_ROWS = 1024
"""Rows that are read and written at once, so that a worker can read its share of a table and none has to hold all of it."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """Which artifact: the stage that makes it, its name in the config, and its fingerprint."""

    stage: str
    name: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.name}-{self.fingerprint[:12]}"


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn an operating-system error of the store into a `StoreError` that says what to do."""
    try:
        yield
    except StoreError:
        raise
    except PermissionError as error:
        raise StoreError(f"the store {url} may not be written or read ({error}); choose another `store:`") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreError(f"the disk of {url} is full; free some space and run again, finished work is kept") from error
        raise StoreError(f"the store {url} failed: {error}") from error


@contextmanager
def table_errors(url: str) -> Iterator[None]:
    """Turn an error of reading a Parquet file of an artifact into a `StoreError` that says what to do."""
    folder = url.rpartition("/")[0]
    with storage_errors(folder):
        try:
            yield
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"{url} is missing or broken ({str(error).splitlines()[0]}); remove the folder {folder} and run again: only "
                "this artifact is made anew"
            ) from error


def _guarded(method: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with storage_errors(args[0].url):  # type: ignore[attr-defined]  # args[0] is self
            return method(*args, **kwargs)

    return call


class Store:
    """A folder of artifacts at a URL. Cheap to make and to pickle: workers get the URL and open it again."""

    def __init__(self, url: str) -> None:
        if "://" not in url:
            url = str(Path(url).expanduser().absolute())
        self.url = url.rstrip("/")

    def artifact(self, key: ArtifactKey) -> Artifact:
        """The artifact of this key, finished or not."""
        return Artifact(self, key)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other runs out of a local store while this one writes; a killed run's lock ends with it.

        An object store has no such lock: there, a stage checks before it finishes an artifact that no row has vanished.

        Raises:
            StoreError: another run is at work in this store, or it cannot be written.
        """
        filesystem, root = url_to_fs(self.url)
        if not isinstance(filesystem, LocalFileSystem):
            yield
            return
        with storage_errors(self.url):
            Path(root).mkdir(parents=True, exist_ok=True)
            lock = FileLock(Path(root) / ".lock", blocking=False)
            try:
                lock.acquire()
            except Timeout as error:
                raise StoreError(
                    f"another run is at work in the store {self.url}; wait until it ends, or choose another `store:`"
                ) from error
        try:
            yield
        finally:
            lock.release()

    def publish(self, file: str, content: bytes) -> str:
        """Write a file at the root of the store, for people to find; returns its URL."""
        with storage_errors(self.url):
            filesystem, root = url_to_fs(self.path(file))
            atomic_write(filesystem, root, content)
        return self.path(file)

    def path(self, *parts: str) -> str:
        """A path under the store's root, as a URL."""
        return "/".join((self.url, *parts))


class Artifact:
    """One artifact's folder: read it when it is finished, write it when it is not."""

    def __init__(self, store: Store, key: ArtifactKey) -> None:
        self.store = store
        self.key = key
        self.url = store.path(str(key))
        self._fs, self._root = url_to_fs(self.url)

    def file_url(self, file: str) -> str:
        """URL of a file or sub-folder of this artifact."""
        return f"{self.url}/{file}"

    # -- reading -----------------------------------------------------------------------------------------------------

    @_guarded
    def manifest(self) -> Manifest | None:
        """The manifest, or None while the artifact is unfinished.

        Raises:
            StoreError: the manifest cannot be parsed.
        """
        try:
            text = self._fs.cat_file(f"{self._root}/{MANIFEST_FILE}")
        except FileNotFoundError:
            return None
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            raise StoreError(
                f"the manifest {self.file_url(MANIFEST_FILE)} is broken ({error.error_count()} mistakes, first: "
                f"{error.errors()[0]['msg']}); remove the folder {self.url} and run again: only this artifact is made anew"
            ) from error

    @property
    def finished(self) -> bool:
        """Whether the manifest stands."""
        return self.manifest() is not None

    @property
    @_guarded
    def started(self) -> bool:
        """Whether anything stands in the folder."""
        return bool(self._fs.exists(self._root))

    @_guarded
    def read_bytes(self, file: str) -> bytes:
        """A file of this artifact."""
        content: bytes = self._fs.cat_file(f"{self._root}/{file}")
        return content

    def read_table(self, file: str) -> pa.Table:
        """A Parquet file of this artifact.

        Raises:
            StoreError: it is missing or broken.
        """
        with table_errors(self.file_url(file)), self._fs.open(f"{self._root}/{file}", "rb") as stream:
            return pq.read_table(stream)

    def read_batches(self, file: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of a Parquet file of this artifact, a row group in memory at a time.

        Raises:
            StoreError: it is missing or broken.
        """
        with table_errors(self.file_url(file)), self._fs.open(f"{self._root}/{file}", "rb") as stream:
            yield from pq.ParquetFile(stream).iter_batches(batch_size=ROW_GROUP_ROWS, columns=columns)

    def num_rows(self, file: str) -> int:
        """How many rows a Parquet file of this artifact has, without reading them.

        Raises:
            StoreError: it is missing or broken.
        """
        with table_errors(self.file_url(file)), self._fs.open(f"{self._root}/{file}", "rb") as stream:
            return int(pq.read_metadata(stream).num_rows)

    @_guarded
    def read_json(self, file: str) -> Any:
        """A JSON file of this artifact."""
        return json.loads(self.read_bytes(file))

    # -- writing -----------------------------------------------------------------------------------------------------

    @_guarded
    def write_bytes(self, file: str, content: bytes) -> None:
        """Write a file atomically: it appears whole or not at all."""
        atomic_write(self._fs, f"{self._root}/{file}", content)

    def write_table(self, file: str, table: pa.Table) -> None:
        """Write a table as Parquet."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS)
        self.write_bytes(file, buffer.getvalue())

    @_guarded
    def write_tables(self, file: str, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Write tables as one Parquet file that appears whole or not at all; holds one row group at a time."""
        with (
            atomic_stream(self._fs, f"{self._root}/{file}") as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as out,
        ):
            waiting: list[pa.Table] = []
            for table in tables:
                waiting.append(table)
                if sum(map(len, waiting)) >= ROW_GROUP_ROWS:
                    out.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                out.write_table(pa.concat_tables(waiting))

    def write_json(self, file: str, document: Any) -> None:
        """Write a JSON document."""
        self.write_bytes(file, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())

    @_guarded
    def upload_folder(self, local: Path, folder: str) -> None:
        """Copy a local folder's files into this artifact, replacing what an unfinished run left there."""
        target = f"{self._root}/{folder}"
        if self._fs.exists(target):
            self._fs.rm(target, recursive=True)
        for path in sorted(item for item in local.rglob("*") if item.is_file()):
            destination = f"{target}/{path.relative_to(local).as_posix()}"
            self._fs.makedirs(destination.rsplit("/", 1)[0], exist_ok=True)
            self._fs.put_file(str(path), destination)

    @_guarded
    def remove(self, folder: str) -> None:
        """Remove a file or sub-folder if it is there."""
        path = f"{self._root}/{folder}"
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from now on the artifact is finished."""
        self.write_bytes(MANIFEST_FILE, (manifest.model_dump_json(indent=2) + "\n").encode())


def atomic_write(filesystem: Any, path: str, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    if isinstance(filesystem, LocalFileSystem):
        with atomic_stream(filesystem, path) as stream:
            stream.write(content)
    else:
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(path, content)


@contextmanager
def atomic_stream(filesystem: Any, path: str) -> Iterator[IO[bytes]]:
    """A stream into a file that appears (is renamed, or for an object store uploaded) when the block ends without an error."""
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    if not isinstance(filesystem, LocalFileSystem):
        with tempfile.NamedTemporaryFile() as local:
            yield local
            local.flush()
            filesystem.put_file(local.name, path)
        return
    scratch = Path(f"{path}.writing-{uuid.uuid4().hex[:8]}")
    try:
        with scratch.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
