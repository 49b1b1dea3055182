"""`autos demo`: downloads a synthetic case end to end on this machine, and checks the result.

Each failed check adds a sentence to `Demo.failures`. Every wait has a limit.
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
from autos.contracts.reasons import WaitReason
from autos.contracts.states import DocumentState
from cli.client import ApiClient, open_client, parse
from cli.connection import Connection
from cli.processes import print_documents
from cli.progress import describe_wait, progress_display, summary, watch
from cli.stack import AlreadyRunning, StackState
from cli.stack.environment import SANDBOX_TOKEN
from cli.stack.state import part_listens
from cli.terminal import CommandError, console, print_line
from cli.up import embedded_stack, print_addresses
from sandbox.cases.known import KnownCases

WEBHOOK_SECONDS: Final = 30.0
START_SECONDS: Final = 60.0
STALL_SECONDS: Final = 60.0
"""A job that makes no progress for this time ends the demo."""
POLL_SECONDS: Final = 0.1
TOTAL: Final = 43
AVAILABLE: Final = 41
FAILING: Final = 2


async def demo(data_dir: Path) -> None:
    """Run the demo.

    Raises:
        CommandError: a check failed; the message lists every failed check.
    """
    async with _stack(data_dir) as state:
        connection = Connection(state.addresses["api"], state.environment["AUTOS_ADMIN_KEY"])
        async with (
            httpx2.AsyncClient(follow_redirects=True, timeout=30.0, trust_env=False) as http,
            open_client(connection) as client,
        ):
            steps = Demo(client, http, KnownCases().names()["demo"], state.addresses["sandbox"])
            await steps.download()
            await steps.list_documents()
            await steps.open_a_link()
            await steps.verify_webhook()
        console.print()
        print_addresses(state.addresses, data_dir)
    if steps.failures:
        raise CommandError("\n".join(["The demo failed:", *steps.failures]))
    print_line(
        f"The demo succeeded: {AVAILABLE} of {TOTAL} documents are stored, and {FAILING} failed as "
        "expected. Run `make up` to keep the stack running."
    )


@dataclass(slots=True)
class Demo:
    """The steps of the demo, and the checks that failed."""

    client: ApiClient
    http: httpx2.AsyncClient
    number: CaseNumber
    sandbox: str
    """The sandbox's URL."""
    job_id: str = ""
    secret: str = ""
    documents: list[Document] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def download(self) -> None:
        """Run a job until it ends, and check its counts."""
        console.print(f"\nDownloading process {self.number}")
        # An earlier run may have set a credential that the sandbox refuses.
        token = {"access_token": SANDBOX_TOKEN}
        await self.client.request("PUT", "/credentials/pdpj", json=token)
        self.secret = (await self.client.request("POST", "/webhooks/secret/rotate"))["secret"]
        await self.client.start_download(self.number, webhook_url=f"{self.sandbox}/receiver/demo")
        last = await self.follow(STALL_SECONDS)
        self.job_id = last.job_id or ""
        print_line(summary(last))
        counted = (last.total_documents, last.completed_documents, last.failed_documents)
        if counted != (TOTAL, AVAILABLE, FAILING):
            self.failures.append(
                f"Of {counted[0]} documents, {counted[1]} are stored and {counted[2]} failed. "
                f"Expected: {TOTAL} documents, {AVAILABLE} stored and {FAILING} failed."
            )

    async def follow(self, stall_seconds: float) -> Status:
        """Show the progress of the job until it ends; returns the last status.

        Raises:
            CommandError: the job made no progress for `stall_seconds`.
        """
        last: Status | None = None
        try:
            with progress_display(console) as display:
                async with timeout(stall_seconds) as limit:
                    async for status, _ in watch(self.client, self.number):
                        display.show(self.number.masked, status)
                        if last is None or _progress_of(last) != _progress_of(status):
                            limit.reschedule(get_running_loop().time() + stall_seconds)
                        last = status
        except TimeoutError:
            raise CommandError(self._describe_stall(last, stall_seconds)) from None
        if last is None:
            raise CommandError(f"The service sent no status of {self.number}.")
        return last

    def _describe_stall(self, last: Status | None, stall_seconds: float) -> str:
        """What the job waits for, and what to do about it."""
        reset = f"run `curl -X POST {self.sandbox}/control/reset`"
        remedies = {
            WaitReason.CREDENTIAL: "set another credential with `autos credentials set`, or "
            f"{reset} to make {SANDBOX_TOKEN} valid again",
            WaitReason.SOURCE: f"{reset} to end the sandbox's faults",
            WaitReason.OPERATOR: f"run `autos jobs resume {last.job_id if last else ''}` to end "
            "the pause",
        }
        remedy = "run `autos doctor` to find the cause"
        if last is not None and last.waiting_for is not None:
            remedy = remedies.get(last.waiting_for, remedy)
        cause = (describe_wait(last) if last else None) or "no worker is running it"
        return (
            f"The demo's job has made no progress for {stall_seconds:.0f} s: {cause}.\n"
            f"Start the stack with `make up`, and {remedy}. Then run `make demo` again. "
            "To start without old data, run `make clean` before."
        )

    async def list_documents(self) -> None:
        """Print the documents and check their states."""
        listed = self.client.documents(self.number)
        self.documents = [parse(Document, document) async for document in listed]
        print_documents(self.documents)
        self.failures += check_documents(self.documents)

    async def open_a_link(self) -> None:
        """Fetch one document by its link and check its hash."""
        stored = next(
            (each for each in self.documents if each.status is DocumentState.AVAILABLE), None
        )
        if stored is None or stored.download_url is None:
            self.failures.append("No document has a link.")
            return
        response = await self.http.get(stored.download_url)
        found = sha256(response.content).hexdigest()
        if not response.is_success:
            status = response.status_code
            self.failures.append(f"The link of {stored.id} returned HTTP {status}.")
        elif found != stored.sha256:
            self.failures.append(f"Document {stored.id} has SHA-256 {found}, not {stored.sha256}.")
        else:
            print_line(
                f"Opened the link of “{stored.name or stored.id}”: {len(response.content)} bytes "
                f"with the listed SHA-256 ({found[:12]}…)."
            )

    async def verify_webhook(self) -> None:
        """Check that the webhook of the ended job arrives, with a valid signature."""
        request = await self._wait_for_webhook()
        if request is None:
            self.failures.append("The receiver got no webhook for the job.")
            return
        try:
            event = Webhook(self.secret).verify(request["body"], request["headers"])
        except WebhookVerificationError:
            self.failures.append("The webhook's signature is invalid.")
            return
        print_line(
            f"Received the webhook {request['headers']['webhook-id']} ({event['type']}) with a "
            "valid signature."
        )

    async def _wait_for_webhook(self) -> dict[str, Any] | None:
        """The newest webhook for the job that the receiver got; None if none arrives in time."""
        with suppress(TimeoutError):
            async with timeout(WEBHOOK_SECONDS):
                while True:
                    response = await self.http.get(f"{self.sandbox}/control/receiver/demo")
                    for request in reversed(response.json()["requests"]):
                        if self.job_id in request["body"]:
                            found: dict[str, Any] = request
                            return found
                    await sleep(POLL_SECONDS)
        return None


def _progress_of(status: Status) -> tuple[object, ...]:
    """The values that change when the job makes progress."""
    ended = status.completed_documents + status.failed_documents
    return status.status, status.total_documents, ended


def check_documents(documents: list[Document]) -> list[str]:
    """Check the list of documents; returns a sentence for each failed check."""
    failures = []
    for state, expected in (DocumentState.AVAILABLE, AVAILABLE), (DocumentState.FAILED, FAILING):
        found = sum(document.status is state for document in documents)
        if found != expected:
            failures.append(f"The list shows {found} documents as {state.value}, not {expected}.")
    return failures + [
        f"Document {document.id} failed without a reason."
        for document in documents
        if document.status is DocumentState.FAILED and not document.reason
    ]


@asynccontextmanager
async def _stack(data_dir: Path) -> AsyncIterator[StackState]:
    """The running stack, or a new stack that is stopped after the demo."""
    async with AsyncExitStack() as exits:
        try:
            console.print("Starting the embedded stack …")
            await exits.enter_async_context(embedded_stack(data_dir))
        except AlreadyRunning:
            console.print("  It is already running; using it.")
        yield await _wait_until_started(data_dir)


async def _wait_until_started(data_dir: Path) -> StackState:
    """Wait until the stack's API listens: another process may still be starting the stack."""
    try:
        async with timeout(START_SECONDS):
            state = StackState.load(data_dir)
            while state is None or not part_listens(data_dir, "api", state.ports.get("api", 0)):
                await sleep(POLL_SECONDS)
                state = StackState.load(data_dir)
    except TimeoutError:
        raise CommandError(
            f"Another process runs the stack in {data_dir}, but its API did not start within "
            f"{START_SECONDS:.0f} s. Stop that process and try again."
        ) from None
    if "sandbox" not in state.addresses:
        raise CommandError(
            "The demo needs the sandbox of the embedded stack. Unset AUTOS_PDPJ_BASE_URL "
            "(environment and .env) and try again."
        )
    return state
