"""Saves the documents of a process into a folder, each under its name and checked by its hash.

A file appears under its name only once it is whole and its SHA-256 is the listed one. What is there
already is not fetched again, and what was cut short goes on where it stopped (`.part`). The links
lead straight to the object store; the API's key is not sent there.
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

from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState
from cli.answers import Document
from cli.client import ApiClient, Refused
from cli.errors import CommandError
from cli.tables import number_of

AT_ONCE: Final = 6
"""Files under way, over all processes."""
MANIFEST: Final = "manifest.json"
_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.5
_PIECE: Final = 256 * 1024
_LONGEST_NAME: Final = 180
"""Bytes: file systems take 255, and an ending and `.part` are still to come."""
_UNFIT: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\:*?"<>|]+'
)


class Unreadable(Exception):
    """The store does not give a file; the message says what it answered."""


@dataclass(slots=True)
class Saved:
    """What became of the files of one process."""

    folder: Path
    files: int = 0
    wrong: list[str] = field(default_factory=list)
    """One sentence for each file that could not be saved."""


class Saver:
    """Saves into one folder; each process gets one of its own in it, named by its number."""

    def __init__(self, client: ApiClient, http: httpx2.AsyncClient, folder: Path) -> None:
        self._client = client
        self._http = http
        self._folder = folder
        self._places = asyncio.Semaphore(AT_ONCE)

    async def save(self, number: CaseNumber, show: Callable[[int, int], None]) -> Saved:
        """Save every document that is stored, and the manifest.

        Args:
            number: the process.
            show: gets the files that are done, and how many there are, after each file.

        Raises:
            CommandError: there can be no such folder, or the API refuses the list.
        """
        saved = Saved(self._folder / number.masked)
        try:
            saved.folder.mkdir(parents=True, exist_ok=True)
        except OSError as failed:
            raise CommandError(f"{saved.folder} cannot be made: {failed.strerror}.") from failed
        wanted: list[tuple[str, Path, str | None]] = []
        place = 0
        async for document in self._client.documents(number):
            place += 1
            if document.status is DocumentState.AVAILABLE:
                path = saved.folder / file_name(place, document)
                route = f"/processes/{number.digits}/documents/{document.id}/content"
                wanted.append((route, path, document.sha256))

        async def save_one(route: str, path: Path, digest: str | None) -> None:
            async with self._places:
                problem = await self._save_one(route, path, digest)
            if problem is None:
                saved.files += 1
            else:
                saved.wrong.append(f"{path.name}: {problem}")
            show(saved.files + len(saved.wrong), len(wanted))

        await asyncio.gather(*(save_one(*file) for file in wanted))
        if problem := await self._save_manifest(number, saved.folder / MANIFEST):
            saved.wrong.append(f"{MANIFEST}: {problem}")
        return saved

    async def _save_one(self, route: str, path: Path, digest: str | None) -> str | None:
        """Save a file unless it is there; the problem if it cannot be had."""
        if digest is not None and await asyncio.to_thread(_digest_of, path) == digest:
            return None
        part = path.with_name(f"{path.name}.part")
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                await self._receive(await self._client.location(route), part)
                if digest is None or await asyncio.to_thread(_digest_of, part) == digest:
                    part.replace(path)
                    return None
                part.unlink()
                problem = "what arrived has another SHA-256 than the listed one."
            except CommandError as refused:
                problem = str(refused)
                if not (isinstance(refused, Refused) and refused.passing):
                    break
            except Unreadable as refused:
                problem = str(refused)
            except httpx2.TransportError as broken:
                problem = f"the connection broke ({type(broken).__name__})."
            except OSError as failed:
                problem = f"it cannot be written: {failed.strerror}."
                break
        return problem

    async def _receive(self, link: str, part: Path) -> None:
        """Add what is missing to the part, or begin anew where the store does not go on."""
        held = await asyncio.to_thread(_size_of, part)
        headers = {"Range": f"bytes={held}-"} if held else {}
        async with self._http.stream("GET", link, headers=headers) as reply:
            if reply.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and held:
                # It was whole already; its hash tells.
                return
            if reply.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise Unreadable(f"the store answered HTTP {reply.status_code}.")
            goes_on = reply.status_code == HTTPStatus.PARTIAL_CONTENT
            with part.open("ab" if goes_on else "wb") as file:
                async for piece in reply.aiter_bytes(_PIECE):
                    file.write(piece)

    async def _save_manifest(self, number: CaseNumber, path: Path) -> str | None:
        try:
            manifest = await self._client.manifest(number)
            if isinstance(manifest, str):
                reply = await self._http.get(manifest)
                if not reply.is_success:
                    return f"the store answered HTTP {reply.status_code}."
                manifest = reply.content
            draft = path.with_name(f"{path.name}.part")
            draft.write_bytes(manifest)
            draft.replace(path)
        except CommandError as refused:
            return str(refused)
        except httpx2.TransportError as broken:
            return f"the connection broke ({type(broken).__name__})."
        except OSError as failed:
            return f"it cannot be written: {failed.strerror}."
        return None


def file_name(place: int, document: Document) -> str:
    """A name that every file system takes: the document's number, name and usual ending.

    Args:
        place: in the list, from 1; used where the API gives the document no position.
        document: as the API lists it.
    """
    name = _UNFIT.sub("_", document.name or "").strip(" .") or document.id
    mime_type = document.mime_type or ""
    stem, dot, last = name.rpartition(".")
    ending = f"{dot}{last}"
    if ending.lower() not in mimetypes.guess_all_extensions(mime_type, strict=False):
        stem, ending = name, mimetypes.guess_extension(mime_type, strict=False) or ""
    short = stem.encode()[:_LONGEST_NAME].decode("utf-8", "ignore")
    return f"{number_of(place, document):04d} {short}{ending}"


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest_of(path: Path) -> str | None:
    """The SHA-256 of a file, hexadecimal; None where there is none."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except FileNotFoundError:
        return None
    return digest.hexdigest()
