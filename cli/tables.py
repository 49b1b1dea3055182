"""Tables: the documents of a process, jobs, the API keys."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from autos.contracts.states import DocumentState
from cli.answers import ApiKey, Document, Job

_HASH_DIGITS: Final = 8
_TYPE_WIDTH: Final = 10
_SHORTEST_NAME: Final = 12
_LONGEST_NAME: Final = 48
_OTHER_COLUMNS: Final = 68
"""Their width, with the space between them."""
_ID_WIDTH: Final = 36
_NUMBER_WIDTH: Final = 25
_STYLES: Final = {
    DocumentState.AVAILABLE: "green",
    DocumentState.FAILED: "red",
    DocumentState.PROCESSING: "cyan",
    DocumentState.PENDING: "dim",
}


def documents_table(documents: Iterable[Document], width: int) -> Table:
    """One line for each document; on a narrow terminal it is the name that gives way."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    name_width = max(_SHORTEST_NAME, min(_LONGEST_NAME, width - _OTHER_COLUMNS))
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True, overflow="ellipsis", width=name_width)
    table.add_column("state", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("type", no_wrap=True, overflow="ellipsis", max_width=_TYPE_WIDTH)
    table.add_column("sha256", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    for number, document in enumerate(documents, start=1):
        table.add_row(
            str(number),
            Text(document.name or document.id),
            Text(document.status.value, _STYLES[document.status]),
            "" if document.size is None else decimal(document.size),
            Text((document.mime_type or "").rpartition("/")[2]),
            (document.sha256 or "")[:_HASH_DIGITS],
            document.reason or "",
        )
    return table


def jobs_table(jobs: Iterable[Job]) -> Table:
    """One line for each job. The counters are the records': a running job's are in its status."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    # Ids are there to be copied: whatever else gives way, they stay whole.
    table.add_column("job", no_wrap=True, min_width=_ID_WIDTH)
    table.add_column("process", no_wrap=True, min_width=_NUMBER_WIDTH)
    for column in ("status", "waiting for", "documents", "reason", "created"):
        table.add_column(column)
    for job in jobs:
        table.add_row(
            job.id,
            job.process_number,
            job.status.value,
            job.waiting_for or "",
            f"{job.completed_documents}+{job.failed_documents}/{job.total_documents}",
            job.reason or "",
            f"{job.created_at:%d %b %H:%M}" if job.created_at else "",
        )
    return table


def failures(documents: Iterable[Document]) -> list[str]:
    """One sentence for each document that failed, in the table's numbers."""
    return [
        f"{number}: {document.error_message or document.reason}"
        for number, document in enumerate(documents, start=1)
        if document.status is DocumentState.FAILED
    ]


def keys_table(keys: Iterable[ApiKey]) -> Table:
    """One line for each API key."""
    table = Table("id", "name", "role", "key", "created", "expires", "revoked")
    for key in keys:
        table.add_row(
            key.id,
            Text(key.name),
            key.role,
            f"{key.prefix}…" if key.prefix else "",
            *(_moment(moment) for moment in (key.created_at, key.expires_at, key.revoked_at)),
        )
    return table


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else ""
