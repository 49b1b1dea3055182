"""Tables: documents, jobs, API keys, deliveries. Ids come first and are never cut.

Long names of documents are cut; `--json` has them whole. At a terminal other texts give way, too.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from autos.contracts.states import DocumentState, Doubt
from cli.answers import ApiKey, Document, Job

_HASH_DIGITS: Final = 8
_TYPE_WIDTH: Final = 10
_SHORTEST_NAME: Final = 12
_LONGEST_NAME: Final = 48
_OTHER_COLUMNS: Final = 68
"""Their width, with the space between them."""
_ID_WIDTH: Final = 36
_NUMBER_WIDTH: Final = 25
_WIDE: Final = _OTHER_COLUMNS + _ID_WIDTH + _SHORTEST_NAME
_STYLES: Final = {
    DocumentState.AVAILABLE: "green",
    DocumentState.FAILED: "red",
    DocumentState.PROCESSING: "cyan",
    DocumentState.PENDING: "dim",
}


def table(ids: str = "", width: int = _ID_WIDTH) -> Table:
    """A table whose first column, where it is named, is that of the ids, for copying.

    Whatever else gives way, that column keeps its width in characters.
    """
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    if ids:
        made.add_column(ids, no_wrap=True, min_width=width)
    return made


def documents_table(documents: Iterable[Document], width: int) -> Table:
    """One line for each document; on a narrow terminal the ids are left out, names are cut."""
    shows_ids = width >= _WIDE
    made = table("document") if shows_ids else table()
    room = width - _OTHER_COLUMNS - (_ID_WIDTH + 1 if shows_ids else 0)
    name_width = max(_SHORTEST_NAME, min(_LONGEST_NAME, room))
    made.add_column("#", justify="right", no_wrap=True)
    made.add_column("name", no_wrap=True, overflow="ellipsis", max_width=name_width)
    made.add_column("state", no_wrap=True)
    made.add_column("size", justify="right", no_wrap=True)
    made.add_column("type", no_wrap=True, overflow="ellipsis", max_width=_TYPE_WIDTH)
    made.add_column("sha256", no_wrap=True)
    made.add_column("reason", no_wrap=True)
    for place, document in enumerate(documents, start=1):
        made.add_row(
            *([document.id] if shows_ids else []),
            str(number_of(place, document)),
            Text(document.name or document.id),
            Text(document.status.value, "yellow" if document.doubt else _STYLES[document.status]),
            "" if document.size is None else decimal(document.size),
            Text((document.mime_type or "").rpartition("/")[2]),
            (document.sha256 or "")[:_HASH_DIGITS],
            document.doubt or document.reason or "",
        )
    return made


def number_of(place: int, document: Document) -> int:
    """The number a document is shown under, from 1: its position, which never changes.

    Args:
        place: in the list, from 1; for a service that gives no positions.
        document: as the API lists it.
    """
    return place if document.position is None else document.position + 1


def remarks(documents: Iterable[Document]) -> list[str]:
    """One sentence for each document that failed or is doubtful, in the table's numbers."""
    found = []
    for place, document in enumerate(documents, start=1):
        number = number_of(place, document)
        if document.status is DocumentState.FAILED:
            found.append(f"{number}: {document.error_message or document.reason}")
        elif document.doubt:
            known = document.doubt in list(Doubt)
            text = Doubt(document.doubt).text if known else document.doubt
            found.append(f"{number}: stored, but doubtful. {text}")
    return found


def jobs_table(jobs: Iterable[Job]) -> Table:
    """One line for each job."""
    made = table("job")
    made.add_column("process", no_wrap=True, min_width=_NUMBER_WIDTH)
    for column in ("status", "waiting for", "documents", "reason", "created"):
        made.add_column(column)
    for job in jobs:
        made.add_row(
            job.id,
            job.process_number,
            job.status.value,
            job.waiting_for or "",
            _counted(job),
            job.reason or "",
            f"{job.created_at:%d %b %H:%M}" if job.created_at else "",
        )
    return made


def _counted(job: Job) -> str:
    text = f"{job.completed_documents}+{job.failed_documents}/{job.total_documents}"
    return f"{text} ({job.doubtful_documents} doubtful)" if job.doubtful_documents else text


def keys_table(keys: Iterable[ApiKey]) -> Table:
    """One line for each API key."""
    made = table("id")
    for column in ("name", "role", "key", "created", "expires", "revoked"):
        made.add_column(column)
    for key in keys:
        made.add_row(
            key.id,
            Text(key.name),
            key.role,
            f"{key.prefix}…" if key.prefix else "",
            *(_moment(moment) for moment in (key.created_at, key.expires_at, key.revoked_at)),
        )
    return made


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else ""
