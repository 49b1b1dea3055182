"""`autos demo`: downloads a synthetic case end to end on this machine, and checks the result.

Each check adds a sentence for everything that is wrong to `Demo.wrong`. No step waits without a
limit.
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
from cli.client import ApiClient, open_client, read
from cli.connection import Connection
from cli.processes import print_documents
from cli.progress import describe_wait, progress, summary, watch
from cli.stack import AlreadyRunning, StackState
from cli.stack.environment import SANDBOX_TOKEN
from cli.stack.state import part_listens
from cli.terminal import CommandError, console, print_line
from cli.up import embedded_stack, print_addresses
from sandbox.cases.known import KnownCases

WEBHOOK_SECONDS: Final = 30.0
START_SECONDS: Final = 60.0
STALL_SECONDS: Final = 60.0
"""The demo gives up on a job that makes no progress for so long."""
POLL_SECONDS: Final = 0.1
TOTAL: Final = 43
AVAILABLE: Final = 41
FAILING: Final = 2


async def demo(data_dir: Path) -> None:
    """Run the demo.

    Raises:
        CommandError: something is not as expected; the message lists all of it.
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
    if steps.wrong:
        raise CommandError("\n".join(["The demo failed:", *steps.wrong]))
    print_line(
        f"All is well: {AVAILABLE} of {TOTAL} documents are stored, and {FAILING} failed as "
        "expected. Run `make up` to keep the stack running."
    )


@dataclass(slots=True)
class Demo:
    """The steps of the demo, and what they found."""

    client: ApiClient
    http: httpx2.AsyncClient
    number: CaseNumber
    sandbox: str
    """The sandbox's URL."""
    job_id: str = ""
    secret: str = ""
    documents: list[Document] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def download(self) -> None:
        """Run a job to its end, and check its counts."""
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
            self.wrong.append(
                f"Of {counted[0]} documents, {counted[1]} are stored and {counted[2]} failed. "
                f"Expected were {TOTAL} documents, {AVAILABLE} stored and {FAILING} failed."
            )

    async def follow(self, stall: float) -> Status:
        """Show the progress of the job until it has ended; returns the last status.

        Raises:
            CommandError: the job made no progress for `stall` seconds.
        """
        last: Status | None = None
        try:
            with progress(console) as board:
                async with timeout(stall) as limit:
                    async for status, _ in watch(self.client, self.number):
                        board.show(self.number.masked, status)
                        if last is None or _position(last) != _position(status):
                            limit.reschedule(get_running_loop().time() + stall)
                        last = status
        except TimeoutError:
            raise CommandError(self._describe_stall(last, stall)) from None
        if last is None:
            raise CommandError(f"The service sent no status of {self.number}.")
        return last

    def _describe_stall(self, last: Status | None, stall: float) -> str:
        """What the job waits for, and what to do about it."""
        reset = f"run `curl -X POST {self.sandbox}/control/reset`"
        remedies = {
            WaitReason.CREDENTIAL: "set another credential with `autos credentials set`, or "
            f"{reset} to have the sandbox accept {SANDBOX_TOKEN} again",
            WaitReason.SOURCE: f"{reset} to end the sandbox's faults",
            WaitReason.OPERATOR: f"run `autos jobs resume {last.job_id if last else ''}` to end "
            "the pause",
        }
        remedy = "run `autos doctor` to find the cause"
        if last is not None and last.waiting_for is not None:
            remedy = remedies.get(last.waiting_for, remedy)
        cause = (describe_wait(last) if last else None) or "no worker is running it"
        return (
            f"The demo's job has not moved for {stall:.0f} s: {cause}.\n"
            f"Start the stack with `make up`, and {remedy}. Then run `make demo` again. "
            "`make clean` removes all of its data first."
        )

    async def list_documents(self) -> None:
        """Print the documents and check their states."""
        listed = self.client.documents(self.number)
        self.documents = [read(Document, sent) async for sent in listed]
        print_documents(self.documents)
        self.wrong += check_documents(self.documents)

    async def open_a_link(self) -> None:
        """Fetch one document by its link and check its hash."""
        stored = next(
            (one for one in self.documents if one.status is DocumentState.AVAILABLE), None
        )
        if stored is None or stored.download_url is None:
            self.wrong.append("No document has a link.")
            return
        reply = await self.http.get(stored.download_url)
        found = sha256(reply.content).hexdigest()
        if not reply.is_success:
            self.wrong.append(f"The link of {stored.id} answers HTTP {reply.status_code}.")
        elif found != stored.sha256:
            self.wrong.append(f"Document {stored.id} has SHA-256 {found}, not {stored.sha256}.")
        else:
            print_line(
                f"Opened the link of “{stored.name or stored.id}”: {len(reply.content)} bytes with "
                f"the listed SHA-256 ({found[:12]}…)."
            )

    async def verify_webhook(self) -> None:
        """Check that the event of the job's end arrives, with a valid signature."""
        request = await self._received()
        if request is None:
            self.wrong.append("The receiver got no webhook about the job.")
            return
        try:
            event = Webhook(self.secret).verify(request["body"], request["headers"])
        except WebhookVerificationError:
            self.wrong.append("The webhook's signature is invalid.")
            return
        print_line(
            f"Received the webhook {request['headers']['webhook-id']} ({event['type']}) with a "
            "valid signature."
        )

    async def _received(self) -> dict[str, Any] | None:
        """The receiver's newest request about the job, once there is one."""
        with suppress(TimeoutError):
            async with timeout(WEBHOOK_SECONDS):
                while True:
                    reply = await self.http.get(f"{self.sandbox}/control/receiver/demo")
                    for request in reversed(reply.json()["requests"]):
                        if self.job_id in request["body"]:
                            found: dict[str, Any] = request
                            return found
                    await sleep(POLL_SECONDS)
        return None


def _position(status: Status) -> tuple[object, ...]:
    """What changes when the job makes progress."""
    ended = status.completed_documents + status.failed_documents
    return status.status, status.total_documents, ended


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
