"""`autos jobs`: the selection of jobs, and the output."""

import io
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from rich.console import Console

from api.jobs.schemas import JOB, Job
from cli import jobs
from cli.jobs import jobs_table
from cli.terminal import FAILED, USAGE
from tests.unit.cli.conftest import Commands

NUMBER = "9990002-86.2024.8.26.0100"
Run = Callable[..., tuple[int, str]]


def job(name: str, status: str = "processing") -> dict[str, Any]:
    return JOB | {"id": name, "process_number": NUMBER, "status": status, "total_documents": 7}


class JobsApi:
    """Two pages of jobs, and the requests about each; those in `ended` cannot be steered."""

    def __init__(self) -> None:
        self.steered: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.ended: set[str] = set()
        self.unknown: set[str] = set()

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            self.queries.append(dict(request.url.params))
            if "cursor" in request.url.params:
                return httpx2.Response(200, json={"items": [job("job-3")], "next": None})
            return httpx2.Response(
                200, json={"items": [job("job-1"), job("job-2")], "next": "more"}
            )
        name, verb = request.url.path.rsplit("/", 2)[1:]
        self.steered.append(f"{verb} {name}")
        status = 409 if name in self.ended else 404 if name in self.unknown else 202
        return httpx2.Response(status, json=job(name))


@pytest.fixture
def api() -> JobsApi:
    return JobsApi()


@pytest.fixture
def run(api: JobsApi, commands: Commands) -> Run:
    """Run a command; its exit code and output."""

    def invoke(*arguments: str, typed: str = "") -> tuple[int, str]:
        result = commands.run(jobs.app, api.answer, *arguments, typed=typed)
        return result.exit_code, result.output

    return invoke


def test_list_ends_at_its_limit(run: Run, api: JobsApi) -> None:
    code, output = run("list", "--limit", "2", "--process", NUMBER)
    assert (code, "job-1" in output, "job-2" in output, "job-3" in output) == (0, True, True, False)
    assert {query["process_number"] for query in api.queries} == {"99900028620248260100"}


@pytest.mark.parametrize("width", [80, 120])
def test_ids_can_be_copied_from_the_list(width: int) -> None:
    name = "5f17ffc2-fe60-4317-8725-6e09c5bad85e"
    written = io.StringIO()
    narrow = Console(width=width, file=written)
    narrow.print(jobs_table([Job.model_validate({**job(name), "waiting_for": "credential"})]))
    assert name in written.getvalue()
    assert NUMBER in written.getvalue()


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry-failed"])
def test_jobs_are_selected_by_id(verb: str, run: Run, api: JobsApi) -> None:
    code, _ = run(verb, "job-8", "job-9")
    assert (code, api.steered) == (0, [f"{verb} job-8", f"{verb} job-9"])
    assert api.queries == []


def test_jobs_are_selected_by_status_on_every_page(run: Run, api: JobsApi) -> None:
    code, output = run("pause", "--status", "processing", "--yes")
    assert (code, "3 jobs" in output) == (0, True)
    assert api.steered == ["pause job-1", "pause job-2", "pause job-3"]
    assert [query["status"] for query in api.queries] == ["processing", "processing"]


def test_many_jobs_need_a_confirmation(run: Run, api: JobsApi) -> None:
    assert run("cancel", "--status", "processing", typed="n\n")[0] == FAILED
    assert api.steered == []
    assert run("cancel", "--status", "processing", typed="y\n")[0] == 0
    assert len(api.steered) == 3


def test_ended_job_is_reported_and_skipped(run: Run, api: JobsApi) -> None:
    api.ended = {"job-1"}
    code, output = run("cancel", "job-1", "job-2")
    assert (code, "job-1 is unchanged" in output) == (0, True)
    assert api.steered == ["cancel job-1", "cancel job-2"]


def test_refusal_does_not_stop_the_others(run: Run, api: JobsApi) -> None:
    api.unknown = {"job-1"}
    code, _ = run("resume", "job-1", "job-2")
    assert (code, api.steered) == (FAILED, ["resume job-1", "resume job-2"])


@pytest.mark.parametrize("arguments", [(), ("job-1", "--status", "pending")])
def test_ids_and_status_exclude_each_other(
    arguments: tuple[str, ...], run: Run, api: JobsApi
) -> None:
    assert run("cancel", *arguments)[0] == USAGE
    assert api.steered == []
