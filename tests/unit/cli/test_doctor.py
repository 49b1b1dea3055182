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


class DiagnosisApi(FakeApi):
    """Returns the scripted reports in order; the last one is repeated."""

    reports: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    unavailable: str | None = None

    def app(self) -> FastAPI:
        app = super().app()

        @app.get("/health/ready")
        async def ready() -> JSONResponse:
            parts = {
                name: {"ok": name != self.unavailable} for name in ("records", "engine", "store")
            }
            ok = self.unavailable is None
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
def fake() -> DiagnosisApi:
    fake = DiagnosisApi()
    fake.reports = [report()]
    fake.checks = [check("records", True), check("source", True)]
    return fake


def doctor(url: str, *arguments: str) -> tuple[int, str]:
    result = autos("doctor", *arguments, "--url", url, "--key", KEY)
    return result.exit_code, result.stdout


def test_healthy_service_exits_with_0(fake: DiagnosisApi, url: str) -> None:
    code, output = doctor(url)
    assert code == 0
    assert output.splitlines() == [
        "ok   records: The records.",
        "ok   source: The source.",
        "Records, Temporal and the bucket agree.",
    ]
    assert fake.bodies == [{"dry_run": False}]


@pytest.mark.parametrize("unavailable", ["records", "store"])
def test_unavailable_part_prevents_the_reconciliation(
    fake: DiagnosisApi, url: str, unavailable: str
) -> None:
    fake.unavailable = unavailable
    fake.checks = [check("store", False, "Look at the bucket.")]
    code, output = doctor(url)
    assert code == 1
    assert f"!!   {unavailable}: " in output
    assert ("Look at the bucket." in output) is (unavailable == "store")
    assert fake.bodies == []


def test_finding_has_advice_and_an_exit_code(fake: DiagnosisApi, url: str) -> None:
    """Such as a revoked token, which stalls every job."""
    fake.checks = [check("credential", False, "Set a new one."), check("disk", None)]
    code, output = doctor(url)
    assert code == 1
    assert "!!   credential: The credential.\n     Set a new one." in output
    assert "??   disk: The disk." in output


def test_unchecked_part_is_not_reported_as_ok(fake: DiagnosisApi, url: str) -> None:
    fake.checks = [check("source", None)]
    assert doctor(url)[0] == 2


def test_unreachable_service_exits_with_2(fake: DiagnosisApi, url: str) -> None:
    """Nothing could be checked."""
    fake.refuse = problem(403, "This key may not do that", "Use a key with the role `admin`.")
    assert doctor(url)[0] == 2
    assert autos("doctor", "--url", "http://127.0.0.1:9", "--key", KEY).exit_code == 2


def test_json_report(fake: DiagnosisApi, url: str) -> None:
    fake.checks = [check("jobs", False, "Resume them.")]
    code, output = doctor(url, "--json")
    assert code == 1
    content = json.loads(output)
    assert content["checks"] == fake.checks
    assert content["reconciliation"]["status"] == "completed"


def test_repairs_are_explained(fake: DiagnosisApi, url: str) -> None:
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


def test_unrepaired_findings_need_an_operator(fake: DiagnosisApi, url: str) -> None:
    fake.reports = [report(left=7, findings=[found("object_missing", 0, "d1")])]
    code, output = doctor(url)
    assert code == 1
    assert "7 are left" in output
    assert "AUTOS_S3_BUCKET" in output


def test_dry_run_is_announced(fake: DiagnosisApi, url: str) -> None:
    fake.reports = [report(left=7, findings=[found("delivery_stopped", 0, "evt_1")])]
    code, output = doctor(url, "--dry-run")
    assert code == 1
    assert "Nothing was changed." in output
    assert fake.bodies == [{"dry_run": True}]


def test_missing_worker_is_reported(fake: DiagnosisApi, url: str) -> None:
    fake.reports = [report("pending")]
    code, output = doctor(url)
    assert code == 1
    assert "Start `autos worker`" in output


def test_wait_for_the_report_is_bounded(fake: DiagnosisApi, url: str) -> None:
    fake.reports = [report("processing")]
    code, output = doctor(url, "--patience", "1")
    assert code == 1
    assert "continues by itself" in output


def test_unfinished_steps_are_reported(fake: DiagnosisApi, url: str) -> None:
    fake.reports = [report(unfinished=["objects"])]
    code, output = doctor(url)
    assert code == 1
    assert "Not compared: documents with the bucket." in output


def test_every_kind_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Kind)


def test_unknown_kind_is_shown_by_its_name() -> None:
    findings = {"kind": "something_new", "found": 2, "mended": 1, "first": []}
    newer = parse(
        Reconciliation, report(findings=[findings], unfinished=["a_new_step", Step.JOBS.value])
    )
    output = explain(newer, dry_run=False)
    assert output[0] == "2 of something_new, 1 of them repaired."
    assert "a_new_step" in output[1]
