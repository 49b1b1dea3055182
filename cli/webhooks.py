"""`autos webhooks`: the log of deliveries, delivering again, and the signing secret."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import BaseModel, Field
from rich.table import Table
from rich.text import Text

from cli.client import ApiClient, open_client
from cli.connection import Connection, find_connection
from cli.errors import USAGE, CommandError
from cli.options import DEFAULT_DATA_DIR, DataDir, Key, Url
from cli.terminal import console, errors, run, sentences

app = typer.Typer(help="Webhooks: log, replays, signing secret.", no_args_is_help=True)

_STYLES = {"delivered": "green", "failed": "red", "pending": "yellow"}
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Attempt(BaseModel):
    """One attempt as the log shows it."""

    number: int
    started_at: datetime
    host: str = ""
    status_code: int | None = None
    milliseconds: int | None = None
    detail: str | None = None


class Delivery(BaseModel):
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


class DeliveryPage(BaseModel):
    """One page of the log."""

    items: list[Delivery] = Field(default_factory=list)


class Recovered(BaseModel):
    """Events that are on their way again."""

    ids: list[str] = Field(default_factory=list)
    next: str | None = None


class Secret(BaseModel):
    """What signs the key's webhooks; the secret itself only where it is told."""

    secret: str | None = None
    secrets: list[Mapping[str, Any]] = Field(default_factory=list)
    public_keys: list[str] = Field(default_factory=list)


@app.command("log")
def log_command(
    attempts: Annotated[bool, typer.Option("--attempts", help="Show every attempt.")] = False,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest so many.")] = 20,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the newest deliveries."""
    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(log(connection, status, limit, attempts=attempts)))


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
    rotate: Annotated[bool, typer.Option("--rotate", help="Replace it; told this once.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make it; told this once.")] = False,
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
        raise typer.Exit(run(secret(connection, verb)))


async def log(connection: Connection, status: str | None, limit: int, *, attempts: bool) -> int:
    """Print the newest deliveries, with their attempts if asked."""
    params: dict[str, str | int] = {"limit": limit, "attempts": str(attempts).lower()}
    if status:
        params["status"] = status
    async with open_client(connection) as client:
        reply = await _ask(client, "GET", "/deliveries", params=params)
    for table in tables(DeliveryPage.model_validate_json(reply).items):
        console.print(table)
    return 0


async def redeliver(connection: Connection, event_id: str) -> int:
    """Ask for one event again."""
    async with open_client(connection) as client:
        await _ask(client, "POST", f"/deliveries/{event_id}/redeliver")
    console.print(f"{event_id} is on its way again.", markup=False)
    return 0


async def recover(connection: Connection, since: datetime) -> int:
    """Ask for everything that never arrived since a moment, however much it is."""
    count, cursor = 0, None
    async with open_client(connection) as client:
        while True:
            body = {"since": since.isoformat(), "cursor": cursor}
            answer = await _ask(client, "POST", "/recover", json=body)
            recovered = Recovered.model_validate_json(answer)
            count, cursor = count + len(recovered.ids), recovered.next
            if cursor is None:
                break
    console.print(f"{count} events are on their way again.", markup=False)
    return 0


async def secret(connection: Connection, verb: str) -> int:
    """Show, create or rotate. Standard output holds a new secret and nothing else."""
    path = "/secret/rotate" if verb == "rotate" else "/secret"
    async with open_client(connection) as client:
        answer = await _ask(client, "GET" if verb == "show" else "POST", path)
    told = Secret.model_validate_json(answer)
    if told.secret is not None:
        errors.print("Keep it now: it is not told again.", markup=False)
        console.print(told.secret, markup=False, soft_wrap=True)
        return 0
    if not told.secrets:
        console.print("There is no secret yet: make one with --create.", markup=False)
    for one in told.secrets:
        ends = f"signs until {one['expires_at']}" if one["expires_at"] else "current"
        console.print(f"{one['scheme']}, made {one['created_at']}: {ends}", markup=False)
    for public_key in told.public_keys:
        console.print(public_key, markup=False, soft_wrap=True)
    return 0


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
    overview = Table("event", "type", "process", "status", "attempts", "last error", "next")
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
    table = Table("#", "at", "host", "status", "ms", "what happened", title=delivery.id)
    for attempt in delivery.attempts or ():
        table.add_row(
            str(attempt.number),
            f"{attempt.started_at:%d %b %H:%M:%S}",
            Text(attempt.host),
            str(attempt.status_code or ""),
            str(attempt.milliseconds or ""),
            attempt.detail or "delivered",
        )
    return table


async def _ask(client: ApiClient, method: str, path: str, **options: Any) -> bytes:
    reply = await client._ask(method, f"/webhooks{path}", **options)
    return reply.content
