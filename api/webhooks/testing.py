"""Routes for people who build a receiver: check a URL, send a test, receive a test.

Requests go through the sender's guard. Of a receiver's response, only status and length are
returned: otherwise a caller could read what only this machine can reach (server-side request
forgery).
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from api.http.auth import CallerDependency, authenticated
from api.http.parameters import SIGNED_RECEIVER
from api.problems import RECORDS_UNAVAILABLE, Problem, ProblemType, responses
from api.services import Services, ServicesDependency
from api.webhooks import schemas
from api.webhooks.secret import VaultDependency
from autos import telemetry
from autos.contracts.deliveries import TIMEOUT_SECONDS
from autos.records import api_keys, deliveries
from autos.records.models import Receipt, now
from autos.vault import Vault
from autos.webhooks import signing
from autos.webhooks.address_guard import HTTPS_PORT, Blocked, Resolver, check_url, resolve, screen
from autos.webhooks.events import TestEvent, encode
from autos.webhooks.secrets import Secrets, secrets_of
from autos.webhooks.sender import Reply, Sender

WEBHOOK_TOO_LARGE: Final = ProblemType(
    "webhook-too-large", 413, "The body is too large for the test receiver", "Send 64 KiB at most."
)
SIGNATURE_WRONG: Final = ProblemType(
    "webhook-signature-wrong",
    401,
    "The signature is not valid",
    "Sign the exact bytes that are sent, with the secret of the API key in the URL.",
)

router = APIRouter(dependencies=[authenticated])
signed_router = APIRouter()
"""Routes that take a valid signature in place of an API key."""

_MAX_RECEIPTS: Final = 20
_MAX_BODY_BYTES: Final = 65_536
_SHOWN_CHARACTERS: Final = 16_384


async def _sender(services: ServicesDependency) -> AsyncIterator[Sender]:
    sender = Sender.open(services.settings)
    try:
        yield sender
    finally:
        await sender.close()


async def name_resolver() -> Resolver:
    """Resolves the host names of URLs to check; tests replace it."""
    return resolve


SenderDependency = Annotated[Sender, Depends(_sender)]
ResolverDependency = Annotated[Resolver, Depends(name_resolver)]


@router.post(
    "/webhook-validate",
    operation_id="validate_webhook",
    summary="Check whether a URL may be used for webhooks",
)
async def validate(
    body: schemas.WebhookAddress, services: ServicesDependency, resolver: ResolverDependency
) -> schemas.Validation:
    """Resolves the host name, without connecting. It may resolve differently at delivery."""
    allow_private = services.settings.webhook_allow_private
    try:
        url = check_url(body.url, allow_private=allow_private)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await screen(
                url.raw_host.decode("ascii"),
                url.port or HTTPS_PORT,
                resolver,
                allow_private=allow_private,
            )
    except Blocked as blocked:
        # The guard writes its message for the webhook's owner.
        return schemas.Validation(valid=False, reason=blocked.reason, detail=str(blocked))
    except OSError:
        return schemas.Validation(
            valid=False,
            reason="unresolvable",
            detail="The host name has no address, or the name server does not answer. Check the "
            "spelling.",
        )
    return schemas.Validation(valid=True, reason=None, detail="The URL may be used for webhooks.")


@router.post(
    "/webhook-test-connectivity",
    operation_id="test_webhook_connectivity",
    summary="Check whether a receiver answers",
)
async def test_connectivity(
    body: schemas.WebhookAddress, sender: SenderDependency
) -> schemas.Connectivity:
    """Sends a HEAD request, which changes nothing there. Any answer means it can be reached."""
    reply = await sender.probe(body.url)
    result = _result(reply)
    if reply.status_code is None:
        return schemas.Connectivity.of(result, reachable=False)
    return schemas.Connectivity.of(result, reachable=True, error=None, detail=None)


@router.post(
    "/webhook-send-test",
    operation_id="send_test_webhook",
    summary="Send a signed test event",
)
async def send_test(
    body: schemas.TestDelivery,
    services: ServicesDependency,
    caller: CallerDependency,
    sender: SenderDependency,
    vault: VaultDependency,
) -> schemas.TestResult:
    """Its type is `webhook.test`. It is not listed as a delivery; all attempts have the same id."""
    async with services.records.transaction() as session:
        secrets = await secrets_of(session, caller.id, vault)
    event_id = f"evt_test_{uuid.uuid4().hex}"
    content = encode(TestEvent(timestamp=now()))
    replies: list[Reply] = []
    while len(replies) < body.attempts and not (replies and replies[-1].accepted):
        at = now()
        headers = signing.headers(secrets.signers(vault, at), event_id, at, content)
        replies.append(await sender.post(body.url, headers, content.encode()))
    return schemas.TestResult(
        event_id=event_id,
        delivered=replies[-1].accepted,
        attempts=[_result(reply) for reply in replies],
    )


@router.post(
    "/webhook-test-receiver",
    operation_id="receive_test_webhook",
    summary="Check that a request is a webhook signed with your secret, and keep it",
    responses=responses(WEBHOOK_TOO_LARGE),
)
async def receive(
    request: Request, services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> schemas.Receipt:
    """Forward the webhook's headers and body unchanged, and add an API key."""
    return await _receive(request, services, vault, caller.id, only_signed=False)


@signed_router.post(
    "/webhook-test-receiver/{api_key_id}",
    operation_id="receive_signed_webhook",
    summary="A receiver to use as a webhook's URL: accepts what this key's secret signed",
    responses=responses(SIGNATURE_WRONG, WEBHOOK_TOO_LARGE, RECORDS_UNAVAILABLE),
)
async def receive_signed(
    api_key_id: uuid.UUID, request: Request, services: ServicesDependency, vault: VaultDependency
) -> schemas.Receipt:
    """Requests without a valid signature are refused and not kept."""
    return await _receive(request, services, vault, api_key_id, only_signed=True)


@router.get(
    "/webhook-test-receiver",
    operation_id="list_test_webhooks",
    summary="List the last 20 requests to the test receiver",
)
async def received(services: ServicesDependency, caller: CallerDependency) -> schemas.Receipts:
    """Newest first."""
    async with services.records.transaction() as session:
        rows = await deliveries.receipts(session, caller.id)
    return schemas.Receipts(
        url=f"{services.settings.api_url.rstrip('/')}{SIGNED_RECEIVER}{caller.id}",
        items=[schemas.Receipt.of(row) for row in rows],
    )


async def _receive(
    request: Request, services: Services, vault: Vault, api_key_id: uuid.UUID, *, only_signed: bool
) -> schemas.Receipt:
    body = await _body(request)
    async with services.records.transaction() as session:
        stored = await api_keys.active_webhook_secrets(session, api_key_id)
    secrets = Secrets.load(stored or {}).opened(vault, now())
    verified = signing.verified(secrets, request.headers, body)
    if only_signed and not verified:
        raise Problem(SIGNATURE_WRONG)
    text = body.decode("utf-8", "replace").replace("\0", "")
    receipt = Receipt(
        id=uuid.uuid4(),
        api_key_id=api_key_id,
        webhook_id=request.headers.get("webhook-id", "")[:100] or None,
        type=_type(body),
        verified=verified,
        verdict=_verdict(request, secrets, verified=verified),
        body=telemetry.redact(text)[:_SHOWN_CHARACTERS],
        body_length=len(body),
        received_at=now(),
    )
    async with services.records.transaction() as session:
        await deliveries.keep_receipt(session, receipt, most=_MAX_RECEIPTS)
    return schemas.Receipt.of(receipt)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise Problem(WEBHOOK_TOO_LARGE)
    return bytes(body)


def _type(body: bytes) -> str | None:
    try:
        event = json.loads(body)
    except ValueError:
        return None
    name = event.get("type") if isinstance(event, dict) else None
    return name.replace("\0", "")[:100] if isinstance(name, str) else None


def _verdict(request: Request, secrets: list[str], *, verified: bool) -> str:
    if verified:
        return "The signature is valid."
    needed = ("webhook-id", "webhook-timestamp", "webhook-signature")
    missing = [name for name in needed if name not in request.headers]
    if missing:
        return f"These headers are missing: {', '.join(missing)}."
    if not secrets:
        return "This key has no secret yet: create one with POST /api/v1/webhooks/secret."
    return (
        "The signature is not valid. Check the secret, the clock (five minutes either way), and "
        "that the body has the exact bytes that were signed."
    )


def _result(reply: Reply) -> schemas.AttemptResult:
    return schemas.AttemptResult.of(
        reply,
        response_length=reply.length,
        error=reply.failure,
        detail=reply.failure.text if reply.failure else None,
    )
