"""Reconciliations by request: have everything compared now, and read the report."""

import uuid
from typing import Literal

from fastapi import APIRouter, Body, Response

from api import temporal_client
from api.http.auth import require_admin
from api.http.inputs import Wait
from api.problems import (
    ENGINE_UNAVAILABLE,
    FORBIDDEN,
    INVALID_REQUEST,
    RECONCILIATION_UNKNOWN,
    RECORDS_UNAVAILABLE,
    UNAUTHORIZED,
    UNREADABLE_BODY,
    Problem,
    responses,
)
from api.reconciliations import schemas as schemas
from api.services import Services, ServicesDependency
from autos.cnj import CaseNumber
from autos.contracts.reconciliation import Finding, Kind

router = APIRouter(tags=["operation"], dependencies=[require_admin])

_PROBLEMS = (INVALID_REQUEST, UNAUTHORIZED, FORBIDDEN, ENGINE_UNAVAILABLE, RECORDS_UNAVAILABLE)


@router.post(
    "/reconciliations",
    operation_id="reconcile",
    summary="Compare records, Temporal and store now, and mend what can be mended (admin)",
    status_code=202,
    response_model=schemas.Reconciliation,
    responses={
        200: {
            "model": schemas.Reconciliation,
            "description": "It ended while the request waited",
        },
        **responses(UNREADABLE_BODY, *_PROBLEMS),
    },
)
async def reconcile(
    services: ServicesDependency,
    response: Response,
    wait: Wait,
    wish: schemas.ReconciliationRequest = Body(  # noqa: B008
        default_factory=schemas.ReconciliationRequest
    ),
) -> schemas.Reconciliation:
    """At most one runs by request, and one dry run: whoever asks meanwhile joins it.

    With `Prefer: wait=N` the answer waits for the report. The same is done by itself every
    `AUTOS_RECONCILE_MINUTES`; nothing is touched that is younger than some minutes.
    """
    reconciliation_id = await services.temporal.reconcile(dry_run=wish.dry_run)
    answer = await _look(services, reconciliation_id, wait or 0)
    if wait:
        response.headers["Preference-Applied"] = f"wait={wait}"
    response.headers["Location"] = f"/api/v1/reconciliations/{reconciliation_id}"
    if _ended(answer):
        response.status_code = 200
    else:
        response.headers["Retry-After"] = "2"
    return answer


@router.get(
    "/reconciliations/{reconciliation_id}",
    operation_id="get_reconciliation",
    summary="How far a reconciliation is, and its report (admin)",
    responses=responses(RECONCILIATION_UNKNOWN, *_PROBLEMS),
)
async def get_reconciliation(
    reconciliation_id: uuid.UUID, services: ServicesDependency, response: Response, wait: Wait
) -> schemas.Reconciliation:
    """`Prefer: wait=N` holds the answer back until the end."""
    answer = await _look(services, str(reconciliation_id), wait or 0)
    if wait:
        response.headers["Preference-Applied"] = f"wait={wait}"
    if not _ended(answer):
        response.headers["Retry-After"] = "2"
    return answer


async def _look(
    services: Services, reconciliation_id: str, seconds: float
) -> schemas.Reconciliation:
    found = await services.temporal.reconciliation(reconciliation_id, seconds)
    if found is None:
        raise Problem(RECONCILIATION_UNKNOWN)
    report = found.report
    if report is None:
        return schemas.Reconciliation(id=reconciliation_id, status=_status(found))
    kinds = report.tallies.kinds
    return schemas.Reconciliation(
        id=reconciliation_id,
        status="completed",
        dry_run=report.dry_run,
        left=report.tallies.left,
        findings=[
            schemas.Findings(
                kind=kind,
                found=kinds[kind].found,
                mended=kinds[kind].mended,
                first=[_shown(finding) for finding in kinds[kind].first],
            )
            for kind in Kind
            if kind in kinds
        ],
        unfinished=report.unfinished,
    )


def _status(found: temporal_client.Reconciliation) -> Literal["pending", "processing", "failed"]:
    if found.failed:
        return "failed"
    return "processing" if found.begun else "pending"


def _ended(answer: schemas.Reconciliation) -> bool:
    return answer.status in ("completed", "failed")


def _shown(finding: Finding) -> schemas.Finding:
    number = finding.process_number
    return schemas.Finding(
        id=finding.id,
        process_number=CaseNumber(number).masked if number else None,
        mended=finding.mended,
    )
