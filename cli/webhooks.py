"""`autos webhooks`: lists deliveries, redelivers events, and manages the signing secret."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from api.webhooks.schemas import Attempt, Delivery, DeliveryPage, Recovered, SecretState
from cli.client import ApiClient, parse
from cli.command import AsJson, api_command
from cli.terminal import (
    USAGE,
    CommandError,
    console,
    new_table,
    print_json,
    print_line,
    print_note,
)

app = typer.Typer(help="Webhook deliveries and signing secrets.", no_args_is_help=True)

_STYLES: Final = {"delivered": "green", "failed": "red", "pending": "yellow"}
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_SECRET: Final = "/webhooks/secret"


@partial(api_command, app, "log")
async def list_deliveries(
    client: ApiClient,
    attempts: Annotated[bool, typer.Option("--attempts", help="Show every attempt.")] = False,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest deliveries to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest deliveries."""
    params: dict[str, str | int] = {"limit": limit, "attempts": str(attempts).lower()}
    if status:
        params["status"] = status
    payload = await client.request("GET", "/webhooks/deliveries", params=params)
    page = parse(DeliveryPage, payload)
    if as_json:
        print_json(payload["items"])
        return
    console.print(deliveries_table(page.items))
    for delivery in page.items:
        if delivery.attempts:
            console.print(attempts_table(delivery.id, delivery.attempts))


@partial(api_command, app, "redeliver")
async def redeliver(
    client: ApiClient, event_id: Annotated[str, typer.Argument(help="The id in the log, evt_…")]
) -> None:
    """Deliver one event again, with its original id."""
    await client.send("POST", f"/webhooks/deliveries/{event_id}/redeliver")
    print_line(f"Redelivering {event_id}.")


@partial(api_command, app, "recover")
async def recover(
    client: ApiClient,
    since: Annotated[
        str, typer.Argument(help="A time (2026-11-24T03:00Z) or an age (90m, 6h, 3d).")
    ],
) -> None:
    """Redeliver every event since a time that was not delivered."""
    start = parse_since(since, datetime.now(UTC))
    count, cursor = 0, None
    while True:
        body = {"since": start.isoformat(), "cursor": cursor}
        page = parse(Recovered, await client.request("POST", "/webhooks/recover", json=body))
        count, cursor = count + len(page.ids), page.next
        if cursor is None:
            break
    print_line(f"Redelivering {count} events.")


@partial(api_command, app, "secret")
async def manage_secret(
    client: ApiClient,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Replace the secret; shown once.")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Create the secret; shown once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show, create or rotate the signing secret of this API key's webhooks."""
    if rotate and create:
        raise CommandError("Give either --create or --rotate.", USAGE)
    if create or rotate:
        payload = await client.request("POST", f"{_SECRET}/rotate" if rotate else _SECRET)
        print_note("Store the secret now: it is not shown again.")
    else:
        payload = await client.request("GET", _SECRET)
    if as_json:
        print_json(payload)
    elif "secret" in payload:
        # Standard output holds only the secret.
        print_line(payload["secret"])
    else:
        _describe(parse(SecretState, payload))


def _describe(state: SecretState) -> None:
    if not state.secrets:
        print_line("There is no secret yet. Create it with --create.")
    for secret in state.secrets:
        validity = f"signs until {secret.expires_at}" if secret.expires_at else "current"
        print_line(f"{secret.scheme}, created {secret.created_at}: {validity}")
    for public_key in state.public_keys:
        print_line(public_key)


def parse_since(text: str, now: datetime) -> datetime:
    """Parse an ISO 8601 time (without zone: UTC), or an age such as `6h` before `now`.

    Raises:
        CommandError: the text is neither.
    """
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdecimal() and unit in _UNITS and len(number) < 6:
        return now - timedelta(**{_UNITS[unit]: int(number)})
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{text} is neither a time like 2026-11-24T03:00Z nor an age like 90m, 6h or 3d.", USAGE
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def deliveries_table(deliveries: Iterable[Delivery]) -> Table:
    """A table with a row for each delivery."""
    table = new_table("event")
    for column in ("type", "process", "status", "attempts", "last error", "next attempt"):
        table.add_column(column)
    for delivery in deliveries:
        table.add_row(
            delivery.id,
            delivery.type.removeprefix("process.download."),
            delivery.process_number,
            Text(delivery.status, _STYLES.get(delivery.status, "")),
            str(delivery.attempt_count),
            delivery.last_error or "",
            f"{delivery.next_attempt_at:%d %b %H:%M}" if delivery.next_attempt_at else "",
        )
    return table


def attempts_table(event_id: str, attempts: Iterable[Attempt]) -> Table:
    """A table with a row for each attempt of a delivery."""
    table = Table("#", "started", "host", "status", "ms", "result", title=event_id)
    for attempt in attempts:
        table.add_row(
            str(attempt.number),
            f"{attempt.started_at:%d %b %H:%M:%S}",
            Text(attempt.host),
            str(attempt.status_code or ""),
            str(attempt.milliseconds or ""),
            attempt.detail or "delivered",
        )
    return table
