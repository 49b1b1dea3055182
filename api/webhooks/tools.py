"""Tools for people who build a receiver. All of them stand behind the same guard as the sender.

None tells what a receiver answered beyond status and length (F8): else they would read for their
caller what only this machine can reach.
"""

import asyncio
import json
import uuid
from typing import Final

from fastapi import APIRouter, Request

from api.http.auth import CallerDependency, authenticated
from api.paths import SIGNED_RECEIVER
from api.problems import (
    INVALID_REQUEST,
    RECORDS_UNAVAILABLE,
    UNAUTHORIZED,
    UNREADABLE_BODY,
    Problem,
    responses,
)
from api.services import Services, ServicesDependency
from api.webhooks import schemas as webhook_schemas
from api.webhooks.answers import (
    SIGNATURE_WRONG,
    WEBHOOK_TOO_LARGE,
    ResolverDependency,
    SenderDependency,
    VaultDependency,
    tried,
)
from autos import telemetry
from autos.contracts.webhooks import TIMEOUT_SECONDS
from autos.records import receipts, webhook_secrets
from autos.records.models import Receipt, now
from autos.vault import Vault
from autos.webhooks import signing
from autos.webhooks.events import TestEvent, encode
from autos.webhooks.guard import HTTPS_PORT, Blocked, check_url, screen
from autos.webhooks.secrets import Secrets, secrets_of
from autos.webhooks.sender import Reply

router = APIRouter(dependencies=[authenticated])
signed_router = APIRouter()
"""What takes a valid signature in place of an API key."""

_KEPT: Final = 20
_LARGEST_BODY: Final = 65_536
_SHOWN_CHARACTERS: Final = 16_384
_PROBLEMS = responses(UNREADABLE_BODY, INVALID_REQUEST, UNAUTHORIZED, RECORDS_UNAVAILABLE)


@router.post(
    "/webhook-validate",
    operation_id="validate_webhook",
    summary="May this address be used for webhooks, and if not, why?",
    responses=_PROBLEMS,
)
async def validate(
    wish: webhook_schemas.WebhookAddress, services: ServicesDependency, resolver: ResolverDependency
) -> webhook_schemas.Validation:
    """Resolves the name, connects to nobody. A name may lead elsewhere when it is used."""
    allow_private = services.settings.webhook_allow_private
    try:
        url = check_url(wish.url, allow_private=allow_private)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await screen(
                url.raw_host.decode("ascii"),
                url.port or HTTPS_PORT,
                resolver,
                allow_private=allow_private,
            )
    except Blocked as blocked:
        # The guard's own sentence, written for the webhook's owner.
        return webhook_schemas.Validation(valid=False, reason=blocked.reason, detail=str(blocked))
    except OSError:
        return webhook_schemas.Validation(
            valid=False,
            reason="unresolvable",
            detail="The name service knows no address of this host, or does not answer: look for "
            "a typing error.",
        )
    return webhook_schemas.Validation(
        valid=True, reason=None, detail="The address may be used for webhooks."
    )


@router.post(
    "/webhook-test-connectivity",
    operation_id="test_webhook_connectivity",
    summary="Does this address answer?",
    responses=_PROBLEMS,
)
async def test_connectivity(
    wish: webhook_schemas.WebhookAddress, sender: SenderDependency
) -> webhook_schemas.Connectivity:
    """Asks with HEAD, so that nothing happens there. Any answer tells that it can be reached."""
    reply = await sender.probe(wish.url)
    reachable = reply.status_code is not None
    found = tried(reply).model_dump()
    if reachable:
        found |= {"error": None, "detail": None}
    return webhook_schemas.Connectivity(reachable=reachable, **found)


@router.post(
    "/webhook-send-test",
    operation_id="send_test_webhook",
    summary="Send a signed test event, as real ones are sent",
    responses=_PROBLEMS,
)
async def send_test(
    wish: webhook_schemas.TestDelivery,
    services: ServicesDependency,
    caller: CallerDependency,
    sender: SenderDependency,
    vault: VaultDependency,
) -> webhook_schemas.TestResult:
    """Its type is `webhook.test`; it is in no log of deliveries, and all tries have one id."""
    async with services.records.transaction() as session:
        secrets = await secrets_of(session, caller.id, vault)
    event_id = f"evt_test_{uuid.uuid4().hex}"
    body = encode(TestEvent(timestamp=now()))
    replies: list[Reply] = []
    while len(replies) < wish.attempts and not (replies and replies[-1].accepted):
        at = now()
        headers = signing.headers(secrets.signers(vault, at), event_id, at, body)
        replies.append(await sender.post(wish.url, headers, body.encode()))
    return webhook_schemas.TestResult(
        event_id=event_id,
        delivered=replies[-1].accepted,
        attempts=[tried(reply) for reply in replies],
    )


@router.post(
    "/webhook-test-receiver",
    operation_id="receive_test_webhook",
    summary="Say whether this request is a webhook that my secret signed; keep it",
    responses=responses(UNAUTHORIZED, WEBHOOK_TOO_LARGE, RECORDS_UNAVAILABLE),
)
async def receive(
    request: Request, services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> webhook_schemas.Receipt:
    """Send it the webhook's headers and bytes as they came, with an API key on top."""
    return await _receive(request, services, vault, caller.id, only_signed=False)


@signed_router.post(
    "/webhook-test-receiver/{api_key_id}",
    operation_id="receive_signed_webhook",
    summary="A receiver to use as a webhook's address: takes what this key's secret signed",
    responses=responses(SIGNATURE_WRONG, WEBHOOK_TOO_LARGE, INVALID_REQUEST, RECORDS_UNAVAILABLE),
)
async def receive_signed(
    api_key_id: uuid.UUID, request: Request, services: ServicesDependency, vault: VaultDependency
) -> webhook_schemas.Receipt:
    """The signature is what lets it in; anything else is refused and not kept."""
    return await _receive(request, services, vault, api_key_id, only_signed=True)


@router.get(
    "/webhook-test-receiver",
    operation_id="list_test_webhooks",
    summary="The last 20 that my test receiver got",
    responses=responses(UNAUTHORIZED, RECORDS_UNAVAILABLE),
)
async def received(
    services: ServicesDependency, caller: CallerDependency
) -> webhook_schemas.Receipts:
    """Newest first."""
    async with services.records.transaction() as session:
        rows = await receipts.newest(session, caller.id)
    return webhook_schemas.Receipts(
        url=f"{services.settings.api_url.rstrip('/')}{SIGNED_RECEIVER}{caller.id}",
        items=[_shown(row) for row in rows],
    )


async def _receive(
    request: Request, services: Services, vault: Vault, api_key_id: uuid.UUID, *, only_signed: bool
) -> webhook_schemas.Receipt:
    body = await _body(request)
    async with services.records.transaction() as session:
        stored = await webhook_secrets.find(session, api_key_id)
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
        await receipts.keep(session, receipt, most=_KEPT)
    return _shown(receipt)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BODY:
            raise Problem(WEBHOOK_TOO_LARGE)
    return bytes(body)


def _type(body: bytes) -> str | None:
    try:
        event = json.loads(body)
    except ValueError:
        return None
    told = event.get("type") if isinstance(event, dict) else None
    return told.replace("\0", "")[:100] if isinstance(told, str) else None


def _verdict(request: Request, secrets: list[str], *, verified: bool) -> str:
    if verified:
        return "The signature is right."
    needed = ("webhook-id", "webhook-timestamp", "webhook-signature")
    missing = [name for name in needed if name not in request.headers]
    if missing:
        return f"These headers are missing: {', '.join(missing)}."
    if not secrets:
        return "This key has no secret yet: create one with POST /api/v1/webhooks/secret."
    return (
        "The signature does not fit: check the secret, the clock (five minutes either way), and "
        "that the body has the very bytes that were signed."
    )


def _shown(row: Receipt) -> webhook_schemas.Receipt:
    return webhook_schemas.Receipt.model_validate(row, from_attributes=True)
