"""Which address and which key are used, by what is said where."""

from pathlib import Path

import pytest

from cli.connection import Connection, find_connection
from cli.errors import CommandError
from cli.stack.state import StackState

EMBEDDED = "http://127.0.0.1:8000"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    StackState(addresses={"api": EMBEDDED}, environment={"AUTOS_ADMIN_KEY": "autos_embedded"}).save(
        tmp_path
    )
    return tmp_path


def test_the_embedded_stack_is_found(data_dir: Path) -> None:
    assert find_connection(None, None, data_dir, {}) == Connection(EMBEDDED, "autos_embedded")


def test_the_environment_wins_over_the_stack_and_options_over_both(data_dir: Path) -> None:
    environment = {"AUTOS_API_URL": "https://autos.example/", "AUTOS_API_KEY": "theirs"}
    found = find_connection(None, None, data_dir, environment)
    assert found == Connection("https://autos.example", "theirs")
    found = find_connection("http://x", "k", data_dir, environment)
    assert found == Connection("http://x", "k")


def test_the_embedded_key_does_not_travel_elsewhere(data_dir: Path) -> None:
    with pytest.raises(CommandError, match="No key for"):
        find_connection("https://autos.example", None, data_dir, {})


def test_nothing_known_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="make up"):
        find_connection(None, None, tmp_path, {})
