"""The command `autos`: what can be said on the command line. Each verb does its work elsewhere.

A verb's module is imported when the verb is called, so that a look at a status does not wait for
the database library.
"""

from enum import StrEnum
from typing import Annotated

import typer

from cli.connection import find_connection, read_number
from cli.jobs import app as jobs_app
from cli.options import DEFAULT_DATA_DIR, DataDir, Key, Url
from cli.terminal import run, sentences
from cli.webhooks import app as webhooks_app

app = typer.Typer(
    name="autos",
    help="Fetches every document of a Brazilian court case into your S3 bucket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="API keys (needs an admin key).", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(jobs_app, name="jobs")
app.add_typer(webhooks_app, name="webhooks")


class Role(StrEnum):
    """What a key may do."""

    CLIENT = "client"
    ADMIN = "admin"


Number = Annotated[str, typer.Argument(help="The case number, NNNNNNN-DD.AAAA.J.TR.OOOO or bare.")]
Forwarded = Annotated[list[str] | None, typer.Argument(help="Handed on as they are.")]


@app.command()
def up(
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Start the embedded stack and keep it up until Ctrl-C."""
    from cli import up as verb

    with sentences():
        raise typer.Exit(run(verb.up(data_dir, workers)))


@app.command()
def demo(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Download one synthetic case of 43 documents, end to end, and check everything."""
    from cli import demo as verb

    with sentences():
        raise typer.Exit(run(verb.demo(data_dir)))


@app.command()
def download(
    number: Number,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Watch to the end.")] = True,
    webhook_url: Annotated[str | None, typer.Option(help="Told when the job ends.")] = None,
    force_refresh: Annotated[
        bool, typer.Option("--force-refresh", help="Ask the source anew, however fresh we are.")
    ] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Download a process. Exit code 0: completed, 3: with failures, 1: failed or cancelled."""
    from cli import download as verb

    with sentences():
        case, connection = read_number(number), find_connection(url, key, data_dir)
        wish = verb.Wish(case, webhook_url, force_refresh)
        raise typer.Exit(run(verb.download(connection, wish, follow=follow)))


@app.command()
def status(
    number: Number,
    documents: Annotated[bool, typer.Option("--documents", help="List the documents.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how far a process is."""
    from cli import status as verb

    with sentences():
        case, connection = read_number(number), find_connection(url, key, data_dir)
        raise typer.Exit(run(verb.status(connection, case, documents=documents, as_json=as_json)))


@app.command()
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; mend nothing.")] = False,
    patience: Annotated[int, typer.Option(min=1, help="Seconds to wait for the report.")] = 300,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Find what is wrong, mend what can be mended, and explain it (needs an admin key).

    Exit code 0: all is well or mended, 1: something is left for a person.
    """
    from cli import doctor as verb

    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(verb.doctor(connection, dry_run=dry_run, patience=patience)))


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.CLIENT,
    expires_days: Annotated[int | None, typer.Option(min=1, help="Days it lives.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a key and tell it, this once."""
    from cli import keys

    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(keys.create(connection, name, role.value, expires_days)))


@keys_app.command("list")
def list_keys(url: Url = None, key: Key = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List all keys, without the keys themselves."""
    from cli import keys

    with sentences():
        raise typer.Exit(run(keys.listing(find_connection(url, key, data_dir))))


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id that the list shows.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revoke a key."""
    from cli import keys

    with sentences():
        raise typer.Exit(run(keys.revoke(find_connection(url, key, data_dir), key_id)))


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from cli import entry

    with sentences():
        raise typer.Exit(run(entry.migrate()))


_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_FORWARD)
def worker(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run a worker in the foreground; it joins the embedded stack where that runs."""
    from cli import entry

    with sentences():
        entry.become("worker", arguments or [], data_dir)


@app.command(context_settings=_FORWARD)
def api(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the HTTP API in the foreground; it joins the embedded stack where that runs."""
    from cli import entry

    with sentences():
        entry.become("api", arguments or [], data_dir)


@app.command(context_settings=_FORWARD)
def sandbox(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the stand-in for PDPJ in the foreground."""
    from cli import entry

    with sentences():
        entry.become("sandbox", arguments or [], data_dir)


def main() -> None:
    """The entry point."""
    app()
