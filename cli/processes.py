"""`autos status`, `autos process` and `autos documents`: show the stored data of a process."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import typer
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from api.documents.schemas import Document
from api.processes.schemas import Process
from api.status.schemas import Status
from autos.contracts.states import DocumentState
from cli.client import ApiClient, parse
from cli.command import AsJson, Number, api_command
from cli.progress import describe
from cli.terminal import console, new_table, print_json, print_line

app = typer.Typer()

_HASH_DIGITS: Final = 8
_TYPE_WIDTH: Final = 10
_MIN_NAME_WIDTH: Final = 12
_MAX_NAME_WIDTH: Final = 48
_OTHER_COLUMNS: Final = 68
"""The width of all columns except id and name, including spaces."""
_ID_WIDTH: Final = 37
_COLORS: Final = {
    DocumentState.AVAILABLE: "green",
    DocumentState.FAILED: "red",
    DocumentState.PROCESSING: "cyan",
    DocumentState.PENDING: "dim",
}


@partial(api_command, app, "status")
async def show_status(
    client: ApiClient,
    number: Number,
    documents: Annotated[bool, typer.Option("--documents", help="List the documents.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the status of a process."""
    path, params = f"/processes/{number.digits}/status", {"documents": "none"}
    payload = await client.request("GET", path, params=params)
    listed = [document async for document in client.documents(number)] if documents else []
    if as_json:
        print_json(payload | {"documents": listed} if documents else payload)
        return
    status = parse(Status, payload)
    print_line(f"{number}  {describe(status)}")
    if status.error_message or status.reason:
        print_line(status.error_message or str(status.reason))
    if documents:
        print_documents([parse(Document, document) for document in listed])


@partial(api_command, app, "process")
async def show_process(client: ApiClient, number: Number, as_json: AsJson = False) -> None:
    """Show the stored metadata of a process. Does not start a download."""
    path, params = f"/processes/{number.digits}", {"auto_download": "false"}
    payload = await client.request("GET", path, params=params)
    if as_json:
        print_json(payload)
        return
    process = parse(Process, payload)
    lines = {
        "process": process.process_number,
        "court": process.court,
        "class": process.class_name,
        "judging body": process.judging_body,
        "subjects": "; ".join(process.subjects),
        "filed": f"{process.filed_at:%Y-%m-%d}" if process.filed_at else None,
        "metadata read": f"{process.fetched_at:%Y-%m-%d %H:%M}" if process.fetched_at else None,
        "newest job": f"{process.job_id} ({process.status})",
    }
    for name, value in lines.items():
        if value:
            print_line(f"{name:<20}{value}")


@partial(api_command, app, "documents")
async def list_documents(client: ApiClient, number: Number, as_json: AsJson = False) -> None:
    """List the documents of a process."""
    listed = [document async for document in client.documents(number)]
    if as_json:
        print_json(listed)
    else:
        print_documents([parse(Document, document) for document in listed])


def print_documents(documents: Sequence[Document]) -> None:
    """Print a table, then a sentence for each document that failed or is doubtful."""
    console.print(documents_table(documents, console.width))
    for document in documents:
        if document.status is DocumentState.FAILED:
            print_line(f"{document.position + 1}: {document.error_message or document.reason}")
        elif document.doubt:
            doubt = document.doubt_message or document.doubt
            print_line(f"{document.position + 1}: stored, but doubtful. {doubt}")


def documents_table(documents: Sequence[Document], width: int) -> Table:
    """A table with a row for each document.

    A narrow terminal shows no ids, and long names are truncated.
    """
    with_ids = width >= _OTHER_COLUMNS + _ID_WIDTH + _MIN_NAME_WIDTH
    table = new_table("document" if with_ids else "")
    available = width - _OTHER_COLUMNS - (_ID_WIDTH if with_ids else 0)
    name_width = max(_MIN_NAME_WIDTH, min(_MAX_NAME_WIDTH, available))
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True, overflow="ellipsis", max_width=name_width)
    table.add_column("state", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("type", no_wrap=True, overflow="ellipsis", max_width=_TYPE_WIDTH)
    table.add_column("sha256", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    for document in documents:
        table.add_row(
            *([str(document.id)] if with_ids else []),
            str(document.position + 1),
            Text(document.name or str(document.id)),
            Text(document.status, "yellow" if document.doubt else _COLORS[document.status]),
            "" if document.size is None else decimal(document.size),
            Text((document.mime_type or "").rpartition("/")[2]),
            (document.sha256 or "")[:_HASH_DIGITS],
            document.doubt or document.reason or "",
        )
    return table
