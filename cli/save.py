"""Saves the documents of a process to a folder (`autos download --save`).

A file gets its name only once it is complete and has the listed SHA-256. Files that exist are not
fetched again, and incomplete ones (`.part`) are continued. The links lead to the object store, to
which the API key is not sent.
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
from cli.client import ApiClient, Refused, read
from cli.terminal import CommandError

_MAX_PARALLEL: Final = 6
"""Files at once, of all processes together."""
MANIFEST: Final = "manifest.json"
_ATTEMPTS: Final = 4
_PAUSE_SECONDS: Final = 0.5
_CHUNK: Final = 256 * 1024
_MAX_NAME_BYTES: Final = 180
"""File systems take 255; the number, the extension and `.part` are added."""
_UNSAFE: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\:*?"<>|]+'
)


class StoreRefused(Exception):
    """The object store does not send a file; the message holds its status."""


@dataclass(slots=True)
class Saved:
    """The files of one process that were saved."""

    folder: Path
    total: int = 0
    """Documents that the object store has."""
    files: int = 0
    wrong: list[str] = field(default_factory=list)
    """One sentence for each file that could not be saved."""


class Saver:
    """Saves processes, each to a subfolder named by its number."""

    def __init__(self, client: ApiClient, http: httpx2.AsyncClient, folder: Path) -> None:
        self._client = client
        self._http = http
        self._folder = folder
        self._slots = asyncio.Semaphore(_MAX_PARALLEL)

    async def save(self, number: CaseNumber, show: Callable[[int, int], None]) -> Saved:
        """Save every stored document and the manifest.

        Args:
            number: of the process.
            show: called after each file with the number of files done, and of all.

        Raises:
            CommandError: the folder cannot be created, or the API refuses the list.
        """
        saved = Saved(self._folder / number.masked)
        try:
            saved.folder.mkdir(parents=True, exist_ok=True)
        except OSError as failed:
            raise CommandError(f"{saved.folder} cannot be created: {failed.strerror}.") from failed
        listed = [read(Document, sent) async for sent in self._client.documents(number)]
        stored = [document for document in listed if document.status is DocumentState.AVAILABLE]
        saved.total = len(stored)
        await asyncio.gather(
            *(self._save_document(number, document, saved, show) for document in stored)
        )
        if problem := await self._save_manifest(number, saved.folder / MANIFEST):
            saved.wrong.append(f"{MANIFEST}: {problem}")
        return saved

    async def _save_document(
        self,
        number: CaseNumber,
        document: Document,
        saved: Saved,
        show: Callable[[int, int], None],
    ) -> None:
        path = saved.folder / file_name(document)
        route = f"/processes/{number.digits}/documents/{document.id}/content"
        async with self._slots:
            problem = await self._save_file(route, path, document.sha256)
        if problem is None:
            saved.files += 1
        else:
            saved.wrong.append(f"{path.name}: {problem}")
        show(saved.files + len(saved.wrong), saved.total)

    async def _save_file(self, route: str, path: Path, digest: str | None) -> str | None:
        """Save one file unless it exists; returns why it could not be saved, if so."""
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
            except Refused as refused:
                problem = str(refused)
                if not refused.temporary:
                    break
            except StoreRefused as refused:
                problem = str(refused)
            except httpx2.TransportError as broken:
                problem = f"the connection broke ({type(broken).__name__})."
            except OSError as failed:
                problem = f"it cannot be written: {failed.strerror}."
                break
        return problem

    async def _receive(self, link: str, part: Path) -> None:
        """Append what is missing to the part; start again if the store does not continue."""
        held = await asyncio.to_thread(_size_of, part)
        headers = {"Range": f"bytes={held}-"} if held else {}
        async with self._http.stream("GET", link, headers=headers) as reply:
            if reply.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and held:
                # The part is complete already; its hash is checked next.
                return
            continued = reply.status_code == HTTPStatus.PARTIAL_CONTENT
            if not continued and reply.status_code != HTTPStatus.OK:
                raise StoreRefused(f"the object store answered HTTP {reply.status_code}.")
            with part.open("ab" if continued else "wb") as file:
                async for chunk in reply.aiter_bytes(_CHUNK):
                    file.write(chunk)

    async def _save_manifest(self, number: CaseNumber, path: Path) -> str | None:
        try:
            reply = await self._client.send("GET", f"/processes/{number.digits}/manifest")
            if link := _link(reply):
                reply = await self._http.get(link)
                if not reply.is_success:
                    return f"the object store answered HTTP {reply.status_code}."
            draft = path.with_name(f"{path.name}.part")
            draft.write_bytes(reply.content)
            draft.replace(path)
        except CommandError as refused:
            return str(refused)
        except httpx2.TransportError as broken:
            return f"the connection broke ({type(broken).__name__})."
        except OSError as failed:
            return f"it cannot be written: {failed.strerror}."
        return None


def file_name(document: Document) -> str:
    """A name that every file system accepts: number, name and usual extension of the document."""
    name = _UNSAFE.sub("_", document.name or "").strip(" .") or str(document.id)
    mime_type = document.mime_type or ""
    stem, dot, last = name.rpartition(".")
    extension = f"{dot}{last}"
    if extension.lower() not in mimetypes.guess_all_extensions(mime_type, strict=False):
        stem, extension = name, mimetypes.guess_extension(mime_type, strict=False) or ""
    short = stem.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    return f"{document.position + 1:04d} {short}{extension}"


def _link(reply: httpx2.Response) -> str | None:
    """The address that an answer redirects to, if it does."""
    if not reply.has_redirect_location:
        return None
    return str(reply.url.join(reply.headers["Location"]))


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
