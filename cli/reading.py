"""`autos status`, `process`, `documents`: what is held, for a person or, as JSON, for a program."""

from autos.cnj import CaseNumber
from cli.answers import Document
from cli.client import open_client
from cli.connection import Connection
from cli.progress import describe
from cli.tables import documents_table, remarks
from cli.terminal import console, print_json, say


async def status(
    connection: Connection, number: CaseNumber, *, with_documents: bool, as_json: bool
) -> int:
    """How far a process is; returns the exit code."""
    async with open_client(connection) as client:
        reply = await client.status(number)
        listed = [one async for one in client.documents(number)] if with_documents else []
    found = reply.status
    assert found is not None  # noqa: S101  # without a tag there is always an answer
    if as_json:
        content = found.as_sent()
        if with_documents:
            content["documents"] = [document.as_sent() for document in listed]
        print_json(content)
        return 0
    say(f"{number}  {describe(found)}")
    if found.error_message or found.reason:
        say(str(found.error_message or found.reason))
    if with_documents:
        print_documents(listed)
    return 0


async def process(connection: Connection, number: CaseNumber, *, as_json: bool) -> int:
    """The metadata that is held of a process; returns the exit code."""
    async with open_client(connection) as client:
        found = await client.process(number)
    if as_json:
        print_json(found.as_sent())
        return 0
    lines = {
        "process": found.process_number,
        "court": found.court,
        "class": found.class_name,
        "judging body": found.judging_body,
        "subjects": "; ".join(found.subjects),
        "filed": f"{found.filed_at:%Y-%m-%d}" if found.filed_at else None,
        "read at the source": f"{found.fetched_at:%Y-%m-%d %H:%M}" if found.fetched_at else None,
        "newest job": f"{found.job_id} ({found.status.value})",
    }
    for name, value in lines.items():
        if value:
            say(f"{name:<20}{value}")
    return 0


async def documents(connection: Connection, number: CaseNumber, *, as_json: bool) -> int:
    """The documents of a process; returns the exit code."""
    async with open_client(connection) as client:
        listed = [document async for document in client.documents(number)]
    if as_json:
        print_json([document.as_sent() for document in listed])
    else:
        print_documents(listed)
    return 0


def print_documents(listed: list[Document]) -> None:
    """The table of documents, and a sentence for each that is not simply stored."""
    console.print(documents_table(listed, console.width))
    for sentence in remarks(listed):
        say(sentence)
