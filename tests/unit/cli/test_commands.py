"""Commands against the fake API: output and exit codes."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi.responses import JSONResponse, Response
from typer.testing import CliRunner, Result

from autos.contracts.reasons import Doubt
from cli.main import app
from tests.unit.cli.fake_api import DIGITS, KEY, NUMBER, FakeApi, problem, status

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AUTOS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def autos(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("state", "code"),
    [("completed", 0), ("completed_with_failures", 3), ("failed", 1), ("cancelled", 1)],
)
def test_download_exits_with_the_code_of_its_job(
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


def test_download_sends_its_options(fake: FakeApi, url: str) -> None:
    arguments = ("--no-watch", "--webhook-url", "https://x.example/hook", "--force-refresh")
    result = autos("download", DIGITS, *arguments, "--url", url, "--key", KEY)
    assert result.exit_code == 0
    assert fake.bodies == [{"force_refresh": True, "webhook_url": "https://x.example/hook"}]
    assert f"autos status {NUMBER}" in result.stdout
    assert fake.requests == [f"POST /api/v1/processes/{DIGITS}/downloads"]


def test_invalid_number_is_rejected_without_a_request(fake: FakeApi, url: str) -> None:
    wrong = NUMBER.replace("-86", "-85")
    result = autos("download", wrong, "--url", url, "--key", KEY)
    assert result.exit_code == 2
    assert "check digits" in result.stderr
    assert fake.requests == []


def test_invalid_number_is_rejected_without_a_stack() -> None:
    assert autos("status", "123").exit_code == 2


def test_missing_stack_is_an_error_with_advice() -> None:
    result = autos("status", NUMBER)
    assert result.exit_code == 1
    assert "make up" in result.stderr


def test_unreachable_service_is_an_error_with_advice() -> None:
    result = autos("status", NUMBER, "--url", "http://127.0.0.1:9", "--key", KEY)
    assert result.exit_code == 1
    assert "No server responds at http://127.0.0.1:9" in result.stderr


def test_problem_is_printed_as_a_sentence(fake: FakeApi, url: str) -> None:
    fake.refuse = problem(404, "Unknown process", "No job was started for it.")
    result = autos("status", NUMBER, "--url", url, "--key", KEY)
    assert result.exit_code == 1
    assert result.stderr == "Unknown process: No job was started for it.\n"


def test_status_lists_every_page_of_documents(fake: FakeApi, url: str) -> None:
    fake.statuses = [status("completed", completed_documents=3)]
    for n in range(5):
        fake.hold(f"d{n}", b"%PDF", name=f"Petition {n}")
    arguments = ("--documents", "--url", url, "--key", KEY)
    result = autos("status", NUMBER, *arguments)
    assert result.exit_code == 0
    assert all(f"Petition {n}" in result.stdout for n in range(5))
    content = json.loads(autos("status", NUMBER, "--json", *arguments).stdout)
    assert content["completed_documents"] == 3
    assert content["documents"] == fake.documents


def test_keys_are_created_listed_and_revoked(fake: FakeApi, url: str) -> None:
    end = ("--url", url, "--key", KEY)
    made = autos("keys", "create", "reports", "--role", "client", "--expires-days", "30", *end)
    assert made.stdout == "autos_new\n"
    ends = datetime.fromisoformat(fake.bodies[0].pop("expires_at"))
    assert timedelta(days=29) < ends - datetime.now(UTC) <= timedelta(days=30)
    assert fake.bodies == [{"name": "reports", "role": "client"}]
    assert "autos_a…" in autos("keys", "list", *end).stdout
    assert autos("keys", "revoke", "k1", *end).exit_code == 0
    assert fake.requests[-1] == "DELETE /api/v1/api-keys/k1"


def test_ctrl_c_stops_only_the_watching(fake: FakeApi, url: str) -> None:
    fake.statuses = [status(completed_documents=1)]
    command = [sys.executable, "-m", "cli", "download", NUMBER, "--url", url, "--key", KEY]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "1 of 3 documents" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
    assert "the job continues" in output
    assert f"autos status {NUMBER}" in output
    assert process.returncode == 130


@pytest.mark.parametrize("verb", ["migrate"])
def test_missing_settings_are_named(verb: str) -> None:
    result = autos(verb)
    assert result.exit_code == 2
    assert "AUTOS_DATABASE_URL" in result.stderr


def test_invalid_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOS_BATCH_SIZE", "many")
    result = autos("migrate")
    assert result.exit_code == 2
    assert "AUTOS_BATCH_SIZE" in result.stderr


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>It works</html>", media_type="text/html"),
        JSONResponse({"process_number": NUMBER, "status": "of another age"}),
    ],
)
def test_unreadable_response_is_not_reported_as_a_setting(
    fake: FakeApi, url: str, answer: Response
) -> None:
    fake.refuse = answer
    result = autos("status", NUMBER, "--url", url, "--key", KEY)
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert "settings" not in result.stderr


def test_every_error_of_a_problem_is_printed(fake: FakeApi, url: str) -> None:
    errors = [
        {"where": "body.webhook_url", "message": "URL scheme should be http or https"},
        {"where": "body.max_age", "message": "too small"},
    ]
    body = {"title": "The request does not fit", "detail": "See `errors`.", "errors": errors}
    fake.refuse = JSONResponse(body, 422, media_type="application/problem+json")
    result = autos("download", NUMBER, "--webhook-url", "x", "--url", url, "--key", KEY)
    assert result.exit_code == 1
    for error in errors:
        assert f"{error['where']}: {error['message']}" in result.stderr


def test_version_is_printed() -> None:
    result = autos("--version")
    assert result.exit_code == 0
    assert result.stdout == f"autos {version('autos')}\n"


def test_ids_are_complete_and_first_in_a_pipe(fake: FakeApi, url: str) -> None:
    ids = [fake.hold(f"d{n}", b"%PDF", name="Petition " * 30)["id"] for n in range(3)]
    lines = autos("documents", NUMBER, "--url", url, "--key", KEY).stdout.splitlines()
    for document_id in ids:
        line = next(line for line in lines if document_id in line)
        assert line.split()[0] == document_id
        assert len(line.rstrip()) < 160


READING = [
    ("status", NUMBER),
    ("process", NUMBER),
    ("documents", NUMBER),
    ("keys", "list"),
    ("credentials", "show"),
    ("download", NUMBER),
]


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_read_commands_print_the_whole_response_as_json(
    fake: FakeApi, url: str, arguments: tuple[str, ...]
) -> None:
    fake.statuses = [status("completed")]
    fake.hold("d1", b"%PDF", doubt="size_mismatch", something_new=[1])
    result = autos(*arguments, "--json", "--url", url, "--key", KEY)
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    if arguments[0] == "documents":
        assert content == fake.documents
    elif arguments[0] == "status":
        assert content == fake.statuses[0]
    assert content


def test_doubtful_document_is_marked(fake: FakeApi, url: str) -> None:
    fake.hold("d1", b"%PDF", doubt="text_only", doubt_message=Doubt.TEXT_ONLY.text)
    lines = autos("documents", NUMBER, "--url", url, "--key", KEY).stdout
    assert "1: stored, but doubtful. The source has no file of this document" in lines


def test_credential_is_read_from_standard_input(fake: FakeApi, url: str) -> None:
    end = ("--url", url, "--key", KEY)
    given = CliRunner().invoke(app, ["credentials", "set", *end], input=" token-1 \ntoken-2\n")
    assert given.exit_code == 0
    assert fake.bodies == [{"access_token": "token-1", "refresh_token": "token-2"}]
    assert "token-" not in given.output
    assert "2 jobs waited" in given.stdout
    assert CliRunner().invoke(app, ["credentials", "set", *end], input="\n").exit_code == 2
    shown = autos("credentials", "show", *end).stdout
    assert "refused since" in shown
    assert "3 jobs wait" in shown


def test_ctrl_c_ends_a_prompt(fake: FakeApi, url: str) -> None:
    """Also at the end of standard input: click raises `Abort` for both."""
    arguments = ["jobs", "cancel", "--process", NUMBER, "--url", url, "--key", KEY]
    fake.jobs = [{"id": "job-1", "process_number": NUMBER, "status": "processing"}]
    result = CliRunner().invoke(app, arguments, input="")
    assert result.exit_code == 130
    assert "POST" not in " ".join(fake.requests)


def test_command_does_not_import_server_libraries() -> None:
    """The API's schemas must not import the API itself."""
    slow = ("fastapi", "sqlalchemy", "temporalio", "boto3", "structlog", "cryptography")
    script = f"import sys, cli.main; print(sorted(sys.modules.keys() & set({slow})))"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
