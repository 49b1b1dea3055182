"""`autos webhooks`: the log of deliveries, delivering again, and the signing secret."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import Field
from rich.table import Table
from rich.text import Text

from cli.answers import Answer, Page
from cli.client import open_client
from cli.connection import Connection, find_connection
from cli.errors import USAGE, CommandError
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, Key, Url
from cli.tables import table
from cli.terminal import console, errors, print_json, run, say, sentences

app = typer.Typer(help="Webhooks: log, replays, signing secret.", no_args_is_help=True)

_STYLES = {"delivered": "green", "failed": "red", "pending": "yellow"}
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Attempt(Answer):
    """One attempt as the log shows it."""

    number: int
    started_at: datetime
    host: str = ""
    status_code: int | None = None
    milliseconds: int | None = None
    detail: str | None = None


class Delivery(Answer):
    """One delivery as the log shows it."""

    id: str
    type: str
    process_number: str
    status: str
    attempt_count: int = 0
    last_error: str | None = None
    next_attempt_at: datetime | None = None
    created_at: datetime
    attempts: list[Attempt] | None = None


class Recovered(Answer):
    """Events that are on their way again."""

    ids: list[str] = Field(default_factory=list)
    next: str | None = None


class Secret(Answer):
    """What signs the key's webhooks; the secret itself only at its creation."""

    secret: str | None = None
    secrets: list[Mapping[str, Any]] = Field(default_factory=list)
    public_keys: list[str] = Field(default_factory=list)


@app.command("log")
def log_command(
    attempts: Annotated[bool, typer.Option("--attempts", help="Show every attempt.")] = False,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest so many.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the newest deliveries."""
    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(log(connection, status, limit, attempts=attempts, as_json=as_json)))


@app.command("redeliver")
def redeliver_command(
    event_id: Annotated[str, typer.Argument(help="The id that the log shows, evt_…")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Deliver one event again, under its original id."""
    with sentences():
        raise typer.Exit(run(redeliver(find_connection(url, key, data_dir), event_id)))


@app.command("recover")
def recover_command(
    since: Annotated[
        str, typer.Argument(help="A time (2026-11-24T03:00Z) or an age (90m, 6h, 3d).")
    ],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Deliver again whatever never arrived since then."""
    with sentences():
        moment = read_since(since, datetime.now(UTC))
        raise typer.Exit(run(recover(find_connection(url, key, data_dir), moment)))


@app.command("secret")
def secret_command(
    rotate: Annotated[bool, typer.Option("--rotate", help="Replace it; shown this once.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make it; shown this once.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show what signs this key's webhooks, or make or rotate its secret."""
    with sentences():
        if rotate and create:
            raise CommandError("Say either --create or --rotate.", USAGE)
        connection = find_connection(url, key, data_dir)
        verb = "create" if create else "rotate" if rotate else "show"
        raise typer.Exit(run(secret(connection, verb, as_json=as_json)))


async def log(
    connection: Connection, status: str | None, limit: int, *, attempts: bool, as_json: bool
) -> int:
    """Print the newest deliveries, with their attempts if asked."""
    params: dict[str, str | int] = {"limit": limit, "attempts": str(attempts).lower()}
    if status:
        params["status"] = status
    async with open_client(connection) as client:
        page = await client.ask(Page[Delivery], "GET", "/webhooks/deliveries", params=params)
    if as_json:
        print_json([delivery.as_sent() for delivery in page.items])
        return 0
    for one in tables(page.items):
        console.print(one)
    return 0


async def redeliver(connection: Connection, event_id: str) -> int:
    """Ask for one event again."""
    async with open_client(connection) as client:
        await client.send("POST", f"/webhooks/deliveries/{event_id}/redeliver")
    say(f"{event_id} is on its way again.")
    return 0


async def recover(connection: Connection, since: datetime) -> int:
    """Ask for everything that never arrived since a moment, however much it is."""
    count, cursor = 0, None
    async with open_client(connection) as client:
        while True:
            body = {"since": since.isoformat(), "cursor": cursor}
            recovered = await client.ask(Recovered, "POST", "/webhooks/recover", json=body)
            count, cursor = count + len(recovered.ids), recovered.next
            if cursor is None:
                break
    say(f"{count} events are on their way again.")
    return 0


async def secret(connection: Connection, verb: str, *, as_json: bool) -> int:
    """Show, create or rotate. Standard output holds a new secret and nothing else."""
    path = "/webhooks/secret/rotate" if verb == "rotate" else "/webhooks/secret"
    async with open_client(connection) as client:
        found = await client.ask(Secret, "GET" if verb == "show" else "POST", path)
    if found.secret is not None:
        errors.print("Keep it now: it is not shown again.", markup=False)
    if as_json:
        print_json(found.as_sent())
    elif found.secret is not None:
        say(found.secret)
    else:
        _describe(found)
    return 0


def _describe(found: Secret) -> None:
    if not found.secrets:
        say("There is no secret yet: make one with --create.")
    for one in found.secrets:
        ends = f"signs until {one['expires_at']}" if one["expires_at"] else "current"
        say(f"{one['scheme']}, made {one['created_at']}: {ends}")
    for public_key in found.public_keys:
        say(public_key)


def read_since(text: str, now: datetime) -> datetime:
    """A moment from the command line: an ISO time (without zone: UTC) or an age such as `6h`.

    Raises:
        CommandError: it is neither.
    """
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdecimal() and unit in _UNITS and len(number) < 6:
        return now - timedelta(**{_UNITS[unit]: int(number)})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{text} is neither a time like 2026-11-24T03:00Z nor an age like 90m, 6h or 3d.", USAGE
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def tables(deliveries: list[Delivery]) -> list[Table]:
    """One table of deliveries, and one of attempts for each that has some to show."""
    overview = table("event")
    for column in ("type", "process", "status", "attempts", "last error", "next"):
        overview.add_column(column)
    for one in deliveries:
        overview.add_row(
            one.id,
            one.type.removeprefix("process.download."),
            one.process_number,
            Text(one.status, _STYLES.get(one.status, "")),
            str(one.attempt_count),
            one.last_error or "",
            f"{one.next_attempt_at:%d %b %H:%M}" if one.next_attempt_at else "",
        )
    return [overview, *(_attempts(one) for one in deliveries if one.attempts)]


def _attempts(delivery: Delivery) -> Table:
    made = Table("#", "at", "host", "status", "ms", "what happened", title=delivery.id)
    for attempt in delivery.attempts or ():
        made.add_row(
            str(attempt.number),
            f"{attempt.started_at:%d %b %H:%M:%S}",
            Text(attempt.host),
            str(attempt.status_code or ""),
            str(attempt.milliseconds or ""),
            attempt.detail or "delivered",
        )
    return made
