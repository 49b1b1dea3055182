"""The stack's state file and its choice of ports."""

import socket
import stat
from pathlib import Path

import pytest

from cli.stack.ports import choose
from cli.stack.state import STATE_FILE, Secrets, StackError, StackState, new_admin_key


def test_state_is_stored_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    state = StackState(ports={"api": 8001})
    state.save(tmp_path)
    state.save(tmp_path)
    assert StackState.load(tmp_path) == state
    assert stat.S_IMODE((tmp_path / STATE_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]


def test_state_is_missing_before_the_first_start(tmp_path: Path) -> None:
    assert StackState.load(tmp_path) is None


def test_damaged_state_is_reported_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text('{"secrets"')
    with pytest.raises(StackError, match="is damaged"):
        StackState.load(tmp_path)


def test_secrets_are_long_and_unique() -> None:
    first, second = Secrets(), Secrets()
    for name in Secrets.model_fields:
        assert getattr(first, name) != getattr(second, name)
        assert len(getattr(first, name)) >= 20
    assert new_admin_key().startswith("autos_")


def test_stored_port_is_reused_unless_it_is_taken() -> None:
    announced: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        chosen = choose(["api", "s3"], {"api": taken}, "default", announced.append)
        again = choose(["api", "s3"], chosen, "default", announced.append)
    assert chosen["api"] > taken
    assert again == chosen
    # A running stack may use the other port; it must not fail this test.
    of_api = [sentence for sentence in announced if "api listens" in sentence]
    assert of_api == [f"Port {taken} is in use; api listens on {chosen['api']} this time."]


def test_free_ports_differ_from_each_other() -> None:
    names = ("api", "temporal", "temporal-ui", "s3", "sandbox", "postgres")
    chosen = choose(names, {}, "free", lambda _: None)
    assert len(set(chosen.values())) == len(names)
