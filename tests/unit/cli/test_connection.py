"""Which address and key are used, by options, environment and stack."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.connection import Connection, find_connection
from cli.stack.state import ProcessList, StackState
from cli.terminal import CommandError


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def data_dir(tmp_path: Path, port: int) -> Path:
    """Of a stack that was started once, with its API on the port."""
    StackState(
        ports={"api": port},
        addresses={"api": f"http://127.0.0.1:{port}"},
        environment={"AUTOS_ADMIN_KEY": "autos_embedded"},
    ).save(tmp_path)
    return tmp_path


def test_the_embedded_stack_is_found(data_dir: Path, port: int) -> None:
    ProcessList(data_dir).add("api", os.getpid())
    found = find_connection(None, None, data_dir, {})
    assert found == Connection(f"http://127.0.0.1:{port}", "autos_embedded")


def test_the_key_is_not_sent_to_another_program_on_the_embedded_port(data_dir: Path) -> None:
    """(S33) The stack is down, and something else listens where its API was."""
    with pytest.raises(CommandError, match="is not running"):
        find_connection(None, None, data_dir, {})
    with subprocess.Popen(["sleep", "60"]) as other:
        ProcessList(data_dir).add("api", other.pid)
        with pytest.raises(CommandError, match="is not running"):
            find_connection(None, None, data_dir, {})
        other.kill()


def test_the_environment_wins_over_the_stack_and_options_over_both(data_dir: Path) -> None:
    environment = {"AUTOS_API_URL": "https://autos.example/", "AUTOS_API_KEY": "theirs"}
    found = find_connection(None, None, data_dir, environment)
    assert found == Connection("https://autos.example", "theirs")
    found = find_connection("http://x", "k", data_dir, environment)
    assert found == Connection("http://x", "k")


def test_the_embedded_key_does_not_travel_elsewhere(data_dir: Path) -> None:
    with pytest.raises(CommandError, match="No key for"):
        find_connection("https://autos.example", None, data_dir, {})


def test_an_unknown_address_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="make up"):
        find_connection(None, None, tmp_path, {})
