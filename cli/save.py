"""Saves the documents of a process to a folder (`autos download --save`).

A file gets its final name when it is complete and has the listed SHA-256. Complete files are not
downloaded again, and partial files (`.part`) are resumed. The links lead to the object store, which
never receives the API key.
"""

import asyncio
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx2

from api.documents.schemas import Document
from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState
from cli.client import ApiClient, ApiError, parse
from cli.terminal import CommandError

_MAX_PARALLEL: Final = 6
"""Concurrent downloads, over all processes."""
MANIFEST: Final = "manifest.json"
_ATTEMPTS: Final = 4
_PAUSE_SECONDS: Final = 0.5
_CHUNK: Final = 256 * 1024
_MAX_NAME_BYTES: Final = 180
"""File systems allow 255 bytes; the number, the extension and `.part` are added to this."""
_UNSAFE: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\:*?"<>|]+'
)


class StoreError(Exception):
    """The object store returned an error; the message names its status."""


@dataclass(slots=True)
class SaveResult:
    """The result of saving the files of one process."""

    folder: Path
    total: int = 0
    """Documents to save: all that are stored."""
    files: int = 0
    """Documents that were saved, or existed already."""
    errors: list[str] = field(default_factory=list)
    """One sentence for each file that could not be saved."""


class Saver:
    """Saves processes, each to a subfolder with its case number."""

    def __init__(self, client: ApiClient, http: httpx2.AsyncClient, folder: Path) -> None:
        self._client = client
        self._http = http
        self._folder = folder
        self._slots = asyncio.Semaphore(_MAX_PARALLEL)

    async def save(self, number: CaseNumber, on_progress: Callable[[int, int], None]) -> SaveResult:
        """Save every stored document and the manifest.

        Args:
            number: the case number of the process.
            on_progress: called after each file with the number of finished files and the total.

        Raises:
            CommandError: the folder cannot be created, or the API returned an error.
        """
        saved = SaveResult(self._folder / number.masked)
        try:
            saved.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{saved.folder} cannot be created: {error.strerror}.") from error
        listed = self._client.documents(number)
        documents = [parse(Document, document) async for document in listed]
        stored = [document for document in documents if document.status is DocumentState.AVAILABLE]
        saved.total = len(stored)
        await asyncio.gather(
            *(self._save_document(number, document, saved, on_progress) for document in stored)
        )
        if problem := await self._save_manifest(number, saved.folder / MANIFEST):
            saved.errors.append(f"{MANIFEST}: {problem}")
        return saved

    async def _save_document(
        self,
        number: CaseNumber,
        document: Document,
        saved: SaveResult,
        on_progress: Callable[[int, int], None],
    ) -> None:
        path = saved.folder / file_name(document)
        route = f"/processes/{number.digits}/documents/{document.id}/content"
        async with self._slots:
            problem = await self._save_file(route, path, document.sha256)
        if problem is None:
            saved.files += 1
        else:
            saved.errors.append(f"{path.name}: {problem}")
        on_progress(saved.files + len(saved.errors), saved.total)

    async def _save_file(self, route: str, path: Path, digest: str | None) -> str | None:
        """Save one file unless it exists; returns a sentence if it could not be saved."""
        if digest is not None and await asyncio.to_thread(_digest_of, path) == digest:
            return None
        part = path.with_name(f"{path.name}.part")
        problem = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                link = _link(await self._client.send("GET", route))
                if link is None:
                    return "the API sent no link to the object store."
                await self._receive(link, part)
                if digest is None or await asyncio.to_thread(_digest_of, part) == digest:
                    part.replace(path)
                    return None
                part.unlink()
                problem = "the SHA-256 of the received file is not the listed one."
            except ApiError as error:
                problem = str(error)
                if not error.temporary:
                    break
            except StoreError as error:
                problem = str(error)
            except httpx2.TransportError as error:
                problem = f"the connection broke ({type(error).__name__})."
            except OSError as error:
                problem = f"it cannot be written: {error.strerror}."
                break
        return problem

    async def _receive(self, link: str, part: Path) -> None:
        """Resume the partial file; start again if the store does not support ranges."""
        size = await asyncio.to_thread(_size_of, part)
        headers = {"Range": f"bytes={size}-"} if size else {}
        async with self._http.stream("GET", link, headers=headers) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and size:
                # The partial file is complete; the caller checks its hash.
                return
            resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
            if not resumed and response.status_code != HTTPStatus.OK:
                raise StoreError(f"the object store returned HTTP {response.status_code}.")
            with part.open("ab" if resumed else "wb") as file:
                async for chunk in response.aiter_bytes(_CHUNK):
                    file.write(chunk)

    async def _save_manifest(self, number: CaseNumber, path: Path) -> str | None:
        try:
            response = await self._client.send("GET", f"/processes/{number.digits}/manifest")
            if link := _link(response):
                response = await self._http.get(link)
                if not response.is_success:
                    return f"the object store returned HTTP {response.status_code}."
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(response.content)
            part.replace(path)
        except CommandError as error:
            return str(error)
        except httpx2.TransportError as error:
            return f"the connection broke ({type(error).__name__})."
        except OSError as error:
            return f"it cannot be written: {error.strerror}."
        return None


def file_name(document: Document) -> str:
    """A name that every file system accepts: position, name and extension of the document."""
    name = _UNSAFE.sub("_", document.name or "").strip(" .") or str(document.id)
    mime_type = document.mime_type or ""
    stem, dot, last = name.rpartition(".")
    extension = f"{dot}{last}"
    if extension.lower() not in mimetypes.guess_all_extensions(mime_type, strict=False):
        stem, extension = name, mimetypes.guess_extension(mime_type, strict=False) or ""
    shortened = stem.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    return f"{document.position + 1:04d} {shortened}{extension}"


def _link(response: httpx2.Response) -> str | None:
    """The URL of a redirect; None if the response is not one."""
    if not response.has_redirect_location:
        return None
    return str(response.url.join(response.headers["Location"]))


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest_of(path: Path) -> str | None:
    """The SHA-256 of a file, hexadecimal; None if it does not exist."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest()
