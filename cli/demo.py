"""`autos demo`: downloads a synthetic case end to end on this machine, and checks the result.

Each step adds a sentence for everything that is wrong; a new check is one more function in `STEPS`.
No step waits without a limit.
"""

from asyncio import get_running_loop, sleep, timeout
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx2
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.documents.schemas import Document
from api.status.schemas import Status
from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState, WaitReason
from cli.client import ApiClient, open_client, read
from cli.connection import Connection
from cli.processes import print_documents
from cli.progress import describe_wait, progress, summary, watch
from cli.stack import AlreadyRunning, StackState
from cli.stack.environment import SANDBOX_TOKEN
from cli.stack.state import part_listens
from cli.terminal import CommandError, console, print_line
from cli.up import embedded_stack, print_addresses
from sandbox.catalogue import Catalogue

WEBHOOK_SECONDS: Final = 30.0
START_SECONDS: Final = 60.0
STALL_SECONDS: Final = 60.0
"""The demo gives up on a job that makes no progress for so long."""
POLL_SECONDS: Final = 0.1
TOTAL: Final = 43
AVAILABLE: Final = 41
FAILING: Final = 2


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """What the steps work with."""

    client: ApiClient
    http: httpx2.AsyncClient
    number: CaseNumber
    sandbox: str
    """The sandbox's URL."""


@dataclass(slots=True)
class DemoResult:
    """What the steps found, for later steps and for the exit code."""

    status: Status | None = None
    secret: str = ""
    documents: list[Document] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def demo(data_dir: Path) -> None:
    """Run the demo.

    Raises:
        CommandError: something is not as expected; the message lists all of it.
    """
    async with _stack(data_dir) as state, _setup(state) as setup:
        result = DemoResult()
        for step in STEPS:
            await step(setup, result)
        console.print()
        print_addresses(state.addresses, data_dir)
    if result.wrong:
        raise CommandError("\n".join(["The demo failed:", *result.wrong]))
    print_line(
        f"All is well: {AVAILABLE} of {TOTAL} documents are stored, and {FAILING} failed as "
        "expected. Run `make up` to keep the stack running."
    )


async def download_case(setup: DemoSetup, result: DemoResult) -> None:
    console.print(f"\nDownloading process {setup.number}")
    client = setup.client
    # An earlier run may have set a credential that the sandbox refuses.
    await client.request("PUT", "/credentials/pdpj", json={"access_token": SANDBOX_TOKEN})
    result.secret = (await client.request("POST", "/webhooks/secret/rotate"))["secret"]
    await client.start_download(setup.number, webhook_url=f"{setup.sandbox}/receiver/demo")
    last = result.status = await follow(setup, STALL_SECONDS)
    print_line(summary(last))
    counted = (last.total_documents, last.completed_documents, last.failed_documents)
    if counted != (TOTAL, AVAILABLE, FAILING):
        result.wrong.append(
            f"Of {counted[0]} documents, {counted[1]} are stored and {counted[2]} failed. Expected "
            f"were {TOTAL} documents, {AVAILABLE} stored and {FAILING} failed."
        )


async def follow(setup: DemoSetup, stall: float) -> Status:
    """Show the progress of the job until it has ended; returns the last status.

    Raises:
        CommandError: the job made no progress for `stall` seconds.
    """
    last: Status | None = None
    try:
        with progress(console) as board:
            async with timeout(stall) as limit:
                async for status, _ in watch(setup.client, setup.number):
                    board.show(setup.number.masked, status)
                    if last is None or _position(last) != _position(status):
                        limit.reschedule(get_running_loop().time() + stall)
                    last = status
    except TimeoutError:
        raise CommandError(_describe_stall(setup, last, stall)) from None
    if last is None:
        raise CommandError(f"The service sent no status of {setup.number}.")
    return last


def _position(status: Status) -> tuple[object, ...]:
    """What changes when the job makes progress."""
    ended = status.completed_documents + status.failed_documents
    return status.status, status.total_documents, ended


def _describe_stall(setup: DemoSetup, last: Status | None, stall: float) -> str:
    """What the job waits for, and what to do about it."""
    remedy = {
        WaitReason.CREDENTIAL: "set another credential with `autos credentials set`, or run "
        f"`curl -X POST {setup.sandbox}/control/reset` to have the sandbox accept {SANDBOX_TOKEN} "
        "again",
        WaitReason.SOURCE: f"run `curl -X POST {setup.sandbox}/control/reset` to end the sandbox's "
        "faults",
        WaitReason.OPERATOR: f"run `autos jobs resume {last.job_id if last else ''}` to end the "
        "pause",
    }
    wait = last.waiting_for if last else None
    action = "run `autos doctor` to find the cause"
    if wait is not None:
        action = remedy.get(wait, action)
    cause = (describe_wait(last) if last else None) or "no worker is running it"
    return (
        f"The demo's job has not moved for {stall:.0f} s: {cause}.\n"
        f"Start the stack with `make up`, and {action}. Then run `make demo` again. `make clean` "
        "removes all of its data first."
    )


async def list_documents(setup: DemoSetup, result: DemoResult) -> None:
    listed = setup.client.documents(setup.number)
    result.documents = [read(Document, sent) async for sent in listed]
    print_documents(result.documents)
    result.wrong += check_documents(result.documents)


def check_documents(documents: list[Document]) -> list[str]:
    """What is wrong with the list of documents."""
    wrong = []
    for state, wanted in (DocumentState.AVAILABLE, AVAILABLE), (DocumentState.FAILED, FAILING):
        found = sum(document.status is state for document in documents)
        if found != wanted:
            wrong.append(f"The list shows {found} documents as {state.value}, not {wanted}.")
    return wrong + [
        f"Document {document.id} failed without a reason."
        for document in documents
        if document.status is DocumentState.FAILED and not document.reason
    ]


async def open_a_link(setup: DemoSetup, result: DemoResult) -> None:
    stored = next((d for d in result.documents if d.status is DocumentState.AVAILABLE), None)
    if stored is None or stored.download_url is None:
        result.wrong.append("No document has a link.")
        return
    reply = await setup.http.get(stored.download_url)
    found = sha256(reply.content).hexdigest()
    if not reply.is_success:
        result.wrong.append(f"The link of {stored.id} answers HTTP {reply.status_code}.")
    elif found != stored.sha256:
        result.wrong.append(f"Document {stored.id} has SHA-256 {found}, not {stored.sha256}.")
    else:
        print_line(
            f"Opened the link of “{stored.name or stored.id}”: {len(reply.content)} bytes with the "
            f"listed SHA-256 ({found[:12]}…)."
        )


async def verify_webhook(setup: DemoSetup, result: DemoResult) -> None:
    """Check that the event of the job's end arrives, with a valid signature."""
    status = result.status
    request = await _received(setup, str(status.job_id) if status else "")
    if request is None:
        result.wrong.append("The receiver got no webhook about the job.")
        return
    try:
        event = Webhook(result.secret).verify(request["body"], request["headers"])
    except WebhookVerificationError:
        result.wrong.append("The webhook's signature is invalid.")
        return
    print_line(
        f"Received the webhook {request['headers']['webhook-id']} ({event['type']}) with a valid "
        "signature."
    )


async def _received(setup: DemoSetup, job_id: str) -> dict[str, Any] | None:
    """The receiver's newest request about the job, once there is one."""
    with suppress(TimeoutError):
        async with timeout(WEBHOOK_SECONDS):
            while True:
                reply = await setup.http.get(f"{setup.sandbox}/control/receiver/demo")
                for request in reversed(reply.json()["requests"]):
                    if job_id in request["body"]:
                        found: dict[str, Any] = request
                        return found
                await sleep(POLL_SECONDS)
    return None


STEPS: Final = (download_case, list_documents, open_a_link, verify_webhook)


@asynccontextmanager
async def _stack(data_dir: Path) -> AsyncIterator[StackState]:
    """The running stack, or a new one that is stopped after the demo."""
    async with AsyncExitStack() as exits:
        try:
            console.print("Starting the embedded stack …")
            await exits.enter_async_context(embedded_stack(data_dir))
        except AlreadyRunning:
            console.print("  It is already running; using it.")
        yield await _started(data_dir)


async def _started(data_dir: Path) -> StackState:
    """Wait until the stack's API listens: another process may still be starting the stack."""
    try:
        async with timeout(START_SECONDS):
            state = StackState.load(data_dir)
            while state is None or not part_listens(data_dir, "api", state.ports.get("api", 0)):
                await sleep(POLL_SECONDS)
                state = StackState.load(data_dir)
    except TimeoutError:
        raise CommandError(
            f"Another process runs the stack in {data_dir}, but its API does not listen after "
            f"{START_SECONDS:.0f} s. Stop that process and try again."
        ) from None
    if "sandbox" not in state.addresses:
        raise CommandError(
            "The demo needs the sandbox of the embedded stack. Unset AUTOS_PDPJ_BASE_URL "
            "(environment and .env) and try again."
        )
    return state


@asynccontextmanager
async def _setup(state: StackState) -> AsyncIterator[DemoSetup]:
    connection = Connection(state.addresses["api"], state.environment["AUTOS_ADMIN_KEY"])
    async with (
        httpx2.AsyncClient(follow_redirects=True, timeout=30.0, trust_env=False) as http,
        open_client(connection) as client,
    ):
        yield DemoSetup(client, http, Catalogue().names()["demo"], state.addresses["sandbox"])
