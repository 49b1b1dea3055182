"""Routes of reconciliations: start one now, and read its report. For administrators only."""

import uuid

from fastapi import APIRouter, Body, Response

from api.http.auth import require_admin
from api.http.parameters import Wait
from api.problems import ENGINE_UNAVAILABLE, FORBIDDEN, RECONCILIATION_UNKNOWN, Problem, responses
from api.reconciliations.schemas import Findings, Reconciliation, ReconciliationRequest
from api.services import Services, ServicesDependency
from autos.contracts.reconciliation import Kind

router = APIRouter(tags=["operation"], dependencies=[require_admin], responses=responses(FORBIDDEN))


@router.post(
    "/reconciliations",
    operation_id="reconcile",
    summary="Compare records, Temporal and store now, and repair what can be repaired (admin)",
    status_code=202,
    response_model=Reconciliation,
    responses={
        200: {"model": Reconciliation, "description": "It ended while the request waited"},
        **responses(ENGINE_UNAVAILABLE),
    },
)
async def reconcile(
    services: ServicesDependency,
    response: Response,
    wait: Wait,
    body: ReconciliationRequest = Body(default_factory=ReconciliationRequest),  # noqa: B008
) -> Reconciliation:
    """At most one requested reconciliation and one dry run are active: further requests join them.

    With `Prefer: wait=N` the response waits for the report. The service also reconciles every
    `AUTOS_RECONCILE_MINUTES`. Anything younger than a few minutes is left alone.
    """
    reconciliation_id = await services.temporal.reconcile(dry_run=body.dry_run)
    answer = await _answer(services, reconciliation_id, wait, response)
    response.headers["Location"] = f"/api/v1/reconciliations/{reconciliation_id}"
    if answer.ended:
        response.status_code = 200
    return answer


@router.get(
    "/reconciliations/{reconciliation_id}",
    operation_id="get_reconciliation",
    summary="Retrieve the status of a reconciliation and, once it has ended, its report (admin)",
    responses=responses(RECONCILIATION_UNKNOWN, ENGINE_UNAVAILABLE),
)
async def get_reconciliation(
    reconciliation_id: uuid.UUID, services: ServicesDependency, response: Response, wait: Wait
) -> Reconciliation:
    """`Prefer: wait=N` delays the response until the reconciliation has ended."""
    return await _answer(services, str(reconciliation_id), wait, response)


async def _answer(
    services: Services, reconciliation_id: str, wait: int | None, response: Response
) -> Reconciliation:
    found = await services.temporal.reconciliation(reconciliation_id, wait or 0)
    if found is None:
        raise Problem(RECONCILIATION_UNKNOWN)
    if wait:
        response.headers["Preference-Applied"] = f"wait={wait}"
    if found.report is not None:
        counts = found.report.tallies
        return Reconciliation.of(
            found.report,
            id=reconciliation_id,
            status="completed",
            left=counts.left,
            findings=[
                Findings.of(counts.kinds[kind], kind=kind) for kind in Kind if kind in counts.kinds
            ],
        )
    if found.failed:
        return Reconciliation(id=reconciliation_id, status="failed")
    response.headers["Retry-After"] = "2"
    return Reconciliation(id=reconciliation_id, status="processing" if found.begun else "pending")
