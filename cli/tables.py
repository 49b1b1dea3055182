"""Tables: the documents of a process, the API keys."""

from collections.abc import Iterable
from datetime import datetime

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from autos.contracts.states import DocumentState
from cli.answers import ApiKey, Document

_STYLES = {
    DocumentState.AVAILABLE: "green",
    DocumentState.FAILED: "red",
    DocumentState.PROCESSING: "cyan",
    DocumentState.PENDING: "dim",
}


def documents_table(documents: Iterable[Document]) -> Table:
    """One line for each document."""
    table = Table("#", "name", "state", "size", "type", "sha256", "reason")
    for column in (0, 3):
        table.columns[column].justify = "right"
    for number, document in enumerate(documents, start=1):
        table.add_row(
            str(number),
            Text(document.name or document.id),
            Text(document.status.value, _STYLES[document.status]),
            "" if document.size is None else decimal(document.size),
            Text(document.mime_type or ""),
            (document.sha256 or "")[:12],
            Text(_reason(document)),
        )
    return table


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


def _reason(document: Document) -> str:
    if document.reason is None:
        return ""
    return (
        f"{document.reason}: {document.error_message}"
        if document.error_message
        else document.reason
    )


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else ""
