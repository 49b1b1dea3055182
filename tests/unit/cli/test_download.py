"""`autos download` of many processes, and the files it saves."""

import json
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner, Result

from api.documents.schemas import DOCUMENT, FAILED_DOCUMENT, Document
from autos.cnj import CaseNumber
from cli.client import open_client, parse
from cli.connection import Connection
from cli.main import app
from cli.save import Saver, file_name
from tests.unit.cli.fake_api import DIGITS, KEY, NUMBER, FakeApi, problem, status

OTHERS = [CaseNumber.build(9_990_010 + n, 2024, 8, 26, 100) for n in range(3)]


def download(url: str, *options: str, typed: str | None = None) -> Result:
    arguments = ["download", *options, "--url", url, "--key", KEY]
    return CliRunner().invoke(app, arguments, input=typed, catch_exceptions=False)


def test_files_and_manifest_are_saved_under_their_names(
    fake: FakeApi, url: str, tmp_path: Path
) -> None:
    fake.statuses = [status("completed_with_failures", completed_documents=2, failed_documents=1)]
    fake.hold("d1", b"%PDF-1.7 one")
    fake.hold("d2", b"two", name="../Parecer: \u202eno/2", mime_type="text/plain")
    fake.documents.append(DOCUMENT | FAILED_DOCUMENT)
    result = download(url, NUMBER, "--save", str(tmp_path))
    assert result.exit_code == 3
    saved = {path.name: path.read_bytes() for path in (tmp_path / NUMBER).iterdir()}
    assert saved == {
        "0001 Petition d1.pdf": b"%PDF-1.7 one",
        "0002 _Parecer_ _no_2.txt": b"two",
        "manifest.json": b"{}",
    }
    assert "Saved 2 files in" in result.stdout


def test_existing_files_are_kept_and_partial_ones_resumed(
    fake: FakeApi, url: str, tmp_path: Path
) -> None:
    fake.statuses = [status("completed")]
    fake.hold("d1", b"%PDF-1.7 one")
    fake.hold("d2", b"%PDF-1.7 two")
    folder = tmp_path / NUMBER
    folder.mkdir()
    (folder / "0001 Petition d1.pdf").write_bytes(b"%PDF-1.7 one")
    (folder / "0002 Petition d2.pdf.part").write_bytes(b"%PDF-1.7")
    assert download(url, NUMBER, "--save", str(tmp_path)).exit_code == 0
    assert [line for line in fake.requests if "/store/d" in line] == ["GET /store/d2"]
    assert (folder / "0002 Petition d2.pdf").read_bytes() == b"%PDF-1.7 two"
    assert not list(folder.glob("*.part"))


def test_file_with_a_wrong_hash_is_not_saved(
    fake: FakeApi, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.save._PAUSE_SECONDS", 0)
    fake.statuses = [status("completed")]
    fake.hold("d1", b"%PDF-1.7 one")
    fake.files["d1"] = b"something else"
    result = download(url, NUMBER, "--save", str(tmp_path))
    assert result.exit_code == 1
    assert "1 could not be saved" in result.stdout
    assert "not the listed one" in result.stdout
    assert [path.name for path in (tmp_path / NUMBER).iterdir()] == ["manifest.json"]


async def test_truncated_file_is_completed(
    fake: FakeApi, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.save._PAUSE_SECONDS", 0)
    fake.hold("d1", b"%PDF-1.7 one")
    # A broken connection: the partial file is kept, and its hash differs.
    fake.cut_after = 5
    shown: list[tuple[int, int]] = []
    async with open_client(Connection(url, KEY)) as client, httpx2.AsyncClient() as http:
        saver = Saver(client, http, tmp_path)
        saved = await saver.save(CaseNumber.parse(NUMBER), lambda *counts: shown.append(counts))
    assert (saved.files, saved.errors, shown) == (1, [], [(1, 1)])


def test_numbers_are_read_from_arguments_and_a_file(
    fake: FakeApi, url: str, tmp_path: Path
) -> None:
    fake.statuses = [status("completed", completed_documents=3)]
    listed = tmp_path / "numbers.txt"
    listed.write_text(f"# ours\n{OTHERS[0].masked}\n\n{OTHERS[1].digits}  # twice\n{NUMBER}\n")
    result = download(url, NUMBER, "--file", str(listed))
    assert result.exit_code == 0
    assert len(fake.bodies) == 3
    assert "3 processes: 3 completed." in result.stdout
    for number in (NUMBER, OTHERS[0].masked, OTHERS[1].masked):
        assert f"{number}  completed: 3 of 3 documents" in result.stdout


def test_exit_code_is_the_worst_of_all_processes(fake: FakeApi, url: str) -> None:
    fake.statuses = [status("completed_with_failures", completed_documents=2, failed_documents=1)]
    fake.refused_numbers = {OTHERS[0].digits}
    numbers = [number.masked for number in OTHERS]
    result = download(url, *numbers, "--parallel", "1")
    assert result.exit_code == 1
    assert len(fake.bodies) == 2
    assert f"{numbers[0]}  The records cannot be reached" in result.stdout
    assert "3 processes: 1 refused, 2 completed with failures." in result.stdout
    assert download(url, *numbers[1:]).exit_code == 3


def test_json_of_many_processes_is_one_list(fake: FakeApi, url: str, tmp_path: Path) -> None:
    fake.statuses = [status("completed", completed_documents=1)]
    fake.hold("d1", b"%PDF-1.7 one")
    fake.refused_numbers = {OTHERS[0].digits}
    arguments = (NUMBER, OTHERS[0].masked, "--json", "--save", str(tmp_path))
    first, second = json.loads(download(url, *arguments).stdout)
    assert first["status"] == "completed"
    assert first["saved"] == {"folder": str(tmp_path / NUMBER), "files": 1, "wrong": []}
    assert second["process_number"] == OTHERS[0].masked
    assert "cannot be reached" in second["error"]


def test_all_invalid_numbers_are_named_before_any_start(
    fake: FakeApi, url: str, tmp_path: Path
) -> None:
    listed = tmp_path / "numbers.txt"
    listed.write_text(f"{NUMBER}\n123\n")
    result = download(url, NUMBER.replace("-86", "-85"), "--file", str(listed))
    assert result.exit_code == 2
    assert "check digits" in result.stderr
    assert "numbers.txt, line 2: 123 is not a case number" in result.stderr
    assert fake.requests == []


def test_numbers_are_read_from_standard_input(fake: FakeApi, url: str) -> None:
    result = download(url, "--file", "-", "--no-watch", typed=f"{NUMBER}\n")
    assert result.exit_code == 0
    assert fake.requests == [f"POST /api/v1/processes/{DIGITS}/downloads"]


@pytest.mark.parametrize("arguments", [(), (NUMBER, "--save", "x", "--no-watch")])
def test_contradicting_options_are_rejected(
    fake: FakeApi, url: str, arguments: tuple[str, ...]
) -> None:
    assert download(url, *arguments).exit_code == 2
    assert fake.requests == []


def test_refusal_of_the_only_process_is_an_error(fake: FakeApi, url: str) -> None:
    fake.refuse = problem(403, "No access to this process", "The source does not show it.")
    result = download(url, NUMBER)
    assert result.exit_code == 1
    assert result.stderr == "No access to this process: The source does not show it.\n"


@pytest.mark.parametrize(
    ("name", "mime_type", "expected"),
    [
        ("Sentença.pdf", "application/pdf", "0008 Sentença.pdf"),
        ("SENTENÇA.PDF", "application/pdf", "0008 SENTENÇA.PDF"),
        ("Sentença", "application/pdf", "0008 Sentença.pdf"),
        ("foto.jpeg", "image/jpeg", "0008 foto.jpeg"),
        ("a/b\\c:d*", None, "0008 a_b_c_d_"),
        ("..", "application/pdf", f"0008 {DOCUMENT['id']}.pdf"),
        (None, None, f"0008 {DOCUMENT['id']}"),
        ("é" * 200, "application/pdf", f"0008 {'é' * 90}.pdf"),
    ],
)
def test_file_names_are_sanitised(name: str | None, mime_type: str | None, expected: str) -> None:
    document = parse(Document, DOCUMENT | {"position": 7, "name": name, "mime_type": mime_type})
    assert file_name(document) == expected
    assert len(expected.encode()) < 250
