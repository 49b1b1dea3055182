"""The choice of URL and key from options, environment and stack."""

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
    """The data folder of a stack whose API has this port."""
    StackState(
        ports={"api": port},
        addresses={"api": f"http://127.0.0.1:{port}"},
        environment={"AUTOS_ADMIN_KEY": "autos_embedded"},
    ).save(tmp_path)
    return tmp_path


def test_embedded_stack_is_found(data_dir: Path, port: int) -> None:
    ProcessList(data_dir).add("api", os.getpid())
    found = find_connection(None, None, data_dir, {})
    assert found == Connection(f"http://127.0.0.1:{port}", "autos_embedded")


def test_key_is_not_sent_to_another_program_on_the_port(data_dir: Path) -> None:
    """(S33) The stack is down, and another program listens on the API's port."""
    with pytest.raises(CommandError, match="is not running"):
        find_connection(None, None, data_dir, {})
    with subprocess.Popen(["sleep", "60"]) as other:
        ProcessList(data_dir).add("api", other.pid)
        with pytest.raises(CommandError, match="is not running"):
            find_connection(None, None, data_dir, {})
        other.kill()


def test_options_take_precedence_over_environment_and_stack(data_dir: Path) -> None:
    environment = {"AUTOS_API_URL": "https://autos.example/", "AUTOS_API_KEY": "theirs"}
    found = find_connection(None, None, data_dir, environment)
    assert found == Connection("https://autos.example", "theirs")
    found = find_connection("http://x", "k", data_dir, environment)
    assert found == Connection("http://x", "k")


def test_embedded_key_is_not_sent_to_another_url(data_dir: Path) -> None:
    with pytest.raises(CommandError, match="No key for"):
        find_connection("https://autos.example", None, data_dir, {})


def test_missing_url_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="make up"):
        find_connection(None, None, tmp_path, {})
