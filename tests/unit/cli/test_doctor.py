"""`autos doctor`: its lines for each part and finding, and its exit code."""

import json
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.reconciliations.schemas import Reconciliation
from autos.contracts.reconciliation import Kind, Step
from cli.client import parse
from cli.doctor import EXPLANATIONS, explain
from tests.unit.cli.fake_api import KEY, FakeApi, problem
from tests.unit.cli.test_commands import autos


def check(name: str, ok: bool | None, advice: str | None = None) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": f"The {name}.", "advice": advice}


def report(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "r1", "status": status, "left": 0, "findings": [], "unfinished": []} | fields


def found(kind: str, repaired: int, *ids: str) -> dict[str, Any]:
    first = [{"id": one, "process_number": "9", "mended": True} for one in ids]
    return {"kind": kind, "found": 7, "mended": repaired, "first": first}


class DoctorsApi(FakeApi):
    """Answers with the reports one after the other; the last one stays."""

    reports: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    away: str | None = None

    def app(self) -> FastAPI:
        app = super().app()

        @app.get("/health/ready")
        async def ready() -> JSONResponse:
            parts = {name: {"ok": name != self.away} for name in ("records", "engine", "store")}
            ok = self.away is None
            return JSONResponse({"ok": ok, "parts": parts}, 200 if ok else 503)

        @app.get("/api/v1/diagnosis")
        async def diagnosis() -> dict[str, Any]:
            return {"checks": self.checks}

        @app.post("/api/v1/reconciliations")
        async def reconcile(request: Request) -> dict[str, Any]:
            self.bodies.append(await request.json())
            return self._next()

        @app.get("/api/v1/reconciliations/r1")
        async def look() -> dict[str, Any]:
            return self._next()

        return app

    def _next(self) -> dict[str, Any]:
        return self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]


@pytest.fixture
def fake() -> DoctorsApi:
    fake = DoctorsApi()
    fake.reports = [report()]
    fake.checks = [check("records", True), check("source", True)]
    return fake


def doctor(url: str, *words: str) -> tuple[int, str]:
    result = autos("doctor", *words, "--url", url, "--key", KEY)
    return result.exit_code, result.stdout


def test_all_is_well(fake: DoctorsApi, url: str) -> None:
    code, output = doctor(url)
    assert code == 0
    assert output.splitlines() == [
        "ok   records: The records.",
        "ok   source: The source.",
        "Records, Temporal and the bucket agree.",
    ]
    assert fake.bodies == [{"dry_run": False}]


@pytest.mark.parametrize("away", ["records", "store"])
def test_with_a_part_away_nothing_is_started(fake: DoctorsApi, url: str, away: str) -> None:
    fake.away = away
    fake.checks = [check("store", False, "Look at the bucket.")]
    code, output = doctor(url)
    assert code == 1
    assert f"!!   {away}: " in output
    assert ("Look at the bucket." in output) is (away == "store")
    assert fake.bodies == []


def test_a_finding_comes_with_advice_and_an_exit_code(fake: DoctorsApi, url: str) -> None:
    """Such as a revoked token, which stalls every job."""
    fake.checks = [check("credential", False, "Set a new one."), check("disk", None)]
    code, output = doctor(url)
    assert code == 1
    assert "!!   credential: The credential.\n     Set a new one." in output
    assert "??   disk: The disk." in output


def test_what_could_not_be_checked_is_not_reported_as_well(fake: DoctorsApi, url: str) -> None:
    fake.checks = [check("source", None)]
    assert doctor(url)[0] == 2


def test_an_unreachable_service_is_no_finding(fake: DoctorsApi, url: str) -> None:
    """Exit code 2: nothing could be checked."""
    fake.refuse = problem(403, "This key may not do that", "Use a key with the role `admin`.")
    assert doctor(url)[0] == 2
    assert autos("doctor", "--url", "http://127.0.0.1:9", "--key", KEY).exit_code == 2


def test_the_report_for_programs(fake: DoctorsApi, url: str) -> None:
    fake.checks = [check("jobs", False, "Resume them.")]
    code, output = doctor(url, "--json")
    assert code == 1
    content = json.loads(output)
    assert content["checks"] == fake.checks
    assert content["reconciliation"]["status"] == "completed"


def test_what_was_repaired_is_explained(fake: DoctorsApi, url: str) -> None:
    ids = [f"job-{number}" for number in range(7)]
    fake.reports = [
        report("processing"),
        report("processing"),
        report(findings=[found("job_closed", 7, *ids), found("idempotency_key_expired", 7)]),
    ]
    code, output = doctor(url)
    assert code == 0
    assert "7 jobs ended in Temporal without recording their end" in output
    assert "their subscribers are notified" in output
    assert "job-4 of 9" in output
    assert "job-5" not in output
    assert "and 2 more" in output


def test_what_is_left_needs_a_person(fake: DoctorsApi, url: str) -> None:
    fake.reports = [report(left=7, findings=[found("object_missing", 0, "d1")])]
    code, output = doctor(url)
    assert code == 1
    assert "7 are left" in output
    assert "AUTOS_S3_BUCKET" in output


def test_a_dry_run_changes_nothing_and_says_so(fake: DoctorsApi, url: str) -> None:
    fake.reports = [report(left=7, findings=[found("delivery_stopped", 0, "evt_1")])]
    code, output = doctor(url, "--dry-run")
    assert code == 1
    assert "Nothing was changed." in output
    assert fake.bodies == [{"dry_run": True}]


def test_a_missing_worker_is_reported(fake: DoctorsApi, url: str) -> None:
    fake.reports = [report("pending")]
    code, output = doctor(url)
    assert code == 1
    assert "Start `autos worker`" in output


def test_patience_has_an_end(fake: DoctorsApi, url: str) -> None:
    fake.reports = [report("processing")]
    code, output = doctor(url, "--patience", "1")
    assert code == 1
    assert "continues by itself" in output


def test_what_could_not_be_compared_is_reported(fake: DoctorsApi, url: str) -> None:
    fake.reports = [report(unfinished=["objects"])]
    code, output = doctor(url)
    assert code == 1
    assert "Not compared: documents with the bucket." in output


def test_every_kind_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Kind)


def test_what_a_newer_service_finds_is_shown_by_its_name() -> None:
    findings = {"kind": "something_new", "found": 2, "mended": 1, "first": []}
    newer = parse(
        Reconciliation, report(findings=[findings], unfinished=["a_new_step", Step.JOBS.value])
    )
    output = explain(newer, dry_run=False)
    assert output[0] == "2 of something_new, 1 of them repaired."
    assert "a_new_step" in output[1]
