"""`autos status`: where a process stands, for a person or, as JSON, for a program."""

import json

from autos.cnj import CaseNumber
from cli.client import open_client
from cli.connection import Connection
from cli.progress import describe
from cli.tables import documents_table, failures
from cli.terminal import console


async def status(
    connection: Connection, number: CaseNumber, *, documents: bool, as_json: bool
) -> int:
    """Run the command; returns its exit code."""
    async with open_client(connection) as client:
        reply = await client.status(number)
        listed = [document async for document in client.documents(number)] if documents else []
    found = reply.status
    assert found is not None  # noqa: S101  # without a tag there is always an answer
    if as_json:
        content = found.model_dump(mode="json")
        if documents:
            content["documents"] = [document.model_dump(mode="json") for document in listed]
        console.print_json(json.dumps(content))
        return 0
    console.print(f"{number}  {describe(found)}", markup=False, soft_wrap=True)
    if found.error_message or found.reason:
        console.print(str(found.error_message or found.reason), markup=False, soft_wrap=True)
    if documents:
        console.print(documents_table(listed, console.width))
        for sentence in failures(listed):
            console.print(sentence, markup=False, soft_wrap=True)
    return 0
