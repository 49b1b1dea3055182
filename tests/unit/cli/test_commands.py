"""Whole commands against the stand-in API: what they print and how they end."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.unit.cli.fake_api import DIGITS, KEY, NUMBER, FakeApi, problem, status

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AUTOS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def autos(*words: str) -> Result:
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize(
    ("state", "code"),
    [("completed", 0), ("completed_with_failures", 3), ("failed", 1), ("cancelled", 1)],
)
def test_download_ends_with_the_exit_code_of_its_job(
    fake: FakeApi, url: str, state: str, code: int
) -> None:
    fake.statuses = [
        status(completed_documents=1, bytes_stored=1000),
        status(state, completed_documents=2, failed_documents=1, error_message="Because."),
    ]
    result = autos("download", NUMBER, "--url", url, "--key", KEY)
    assert result.exit_code == code
    assert f"{state.replace('_', ' ')}: 2 of 3 documents stored" in result.stdout
    assert ("Because." in result.stdout) is (code == 1)


def test_download_hands_its_wishes_on(fake: FakeApi, url: str) -> None:
    words = ("--no-watch", "--webhook-url", "https://x.example/hook", "--force-refresh")
    result = autos("download", DIGITS, *words, "--url", url, "--key", KEY)
    assert result.exit_code == 0
    assert fake.wishes == [{"force_refresh": True, "webhook_url": "https://x.example/hook"}]
    assert f"autos status {NUMBER}" in result.stdout
    assert fake.asked == [f"POST /api/v1/processes/{DIGITS}/downloads"]


def test_a_wrong_number_is_refused_without_asking(fake: FakeApi, url: str) -> None:
    wrong = NUMBER.replace("-86", "-85")
    result = autos("download", wrong, "--url", url, "--key", KEY)
    assert result.exit_code == 2
    assert "check digits" in result.stderr
    assert fake.asked == []


def test_a_wrong_number_is_refused_even_where_nothing_runs() -> None:
    assert autos("status", "123").exit_code == 2


def test_where_nothing_was_started_it_says_how_to() -> None:
    result = autos("status", NUMBER)
    assert result.exit_code == 1
    assert "make up" in result.stderr


def test_where_nothing_answers_it_says_how_to_start() -> None:
    result = autos("status", NUMBER, "--url", "http://127.0.0.1:9", "--key", KEY)
    assert result.exit_code == 1
    assert "Nothing answers at http://127.0.0.1:9" in result.stderr


def test_a_problem_reads_as_a_sentence(fake: FakeApi, url: str) -> None:
    fake.refuse = problem(404, "Unknown process", "Nobody asked for it yet.")
    result = autos("status", NUMBER, "--url", url, "--key", KEY)
    assert result.exit_code == 1
    assert result.stderr == "Unknown process: Nobody asked for it yet.\n"


def test_status_lists_every_page_of_documents(fake: FakeApi, url: str) -> None:
    fake.statuses = [status("completed", completed_documents=3)]
    fake.documents = [
        {"id": f"d{n}", "name": f"Petition {n}", "status": "available", "size": 10, "sha256": "ab"}
        for n in range(5)
    ]
    words = ("--documents", "--url", url, "--key", KEY)
    result = autos("status", NUMBER, *words)
    assert result.exit_code == 0
    assert all(f"Petition {n}" in result.stdout for n in range(5))
    content = json.loads(autos("status", NUMBER, "--json", *words).stdout)
    assert content["completed_documents"] == 3
    assert [document["id"] for document in content["documents"]] == [f"d{n}" for n in range(5)]


def test_keys_are_made_listed_and_revoked(fake: FakeApi, url: str) -> None:
    end = ("--url", url, "--key", KEY)
    made = autos("keys", "create", "reports", "--role", "client", "--expires-days", "30", *end)
    assert made.stdout == "autos_new\n"
    ends = datetime.fromisoformat(fake.wishes[0].pop("expires_at"))
    assert timedelta(days=29) < ends - datetime.now(UTC) <= timedelta(days=30)
    assert fake.wishes == [{"name": "reports", "role": "client"}]
    assert "autos_a…" in autos("keys", "list", *end).stdout
    assert autos("keys", "revoke", "k1", *end).exit_code == 0
    assert fake.asked[-1] == "DELETE /api/v1/api-keys/k1"


def test_ctrl_c_stops_the_watching_only(fake: FakeApi, url: str) -> None:
    fake.statuses = [status(completed_documents=1)]
    command = [sys.executable, "-m", "cli", "download", NUMBER, "--url", url, "--key", KEY]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "1 of 3 documents" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=10)
    assert "the job goes on" in told
    assert f"autos status {NUMBER}" in told
    assert process.returncode == 130


@pytest.mark.parametrize("verb", ["migrate"])
def test_what_is_not_set_is_named(verb: str) -> None:
    result = autos(verb)
    assert result.exit_code == 2
    assert "AUTOS_DATABASE_URL" in result.stderr


def test_settings_that_are_not_right_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOS_BATCH_SIZE", "many")
    result = autos("migrate")
    assert result.exit_code == 2
    assert "AUTOS_BATCH_SIZE" in result.stderr
