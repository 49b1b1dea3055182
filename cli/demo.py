"""`autos demo`: the main job end to end on this machine, and a verdict on whether all is right.

Each step says what it found wrong as sentences; a new check is one more function in `STEPS`. No
step waits without a bound.
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

from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState
from cli.answers import Document, Status
from cli.client import ApiClient, open_client
from cli.connection import Connection
from cli.errors import FAILED, CommandError
from cli.progress import progress, summary, waiting
from cli.reading import print_documents
from cli.stack import AlreadyRunning, StackState
from cli.stack.leftovers import part_listens
from cli.stack.parts import SANDBOX_TOKEN
from cli.terminal import console, say
from cli.up import embedded, print_addresses
from cli.watch import watch
from sandbox.known_cases import KnownCases

WEBHOOK_SECONDS: Final = 30.0
START_SECONDS: Final = 60.0
STILL_SECONDS: Final = 60.0
"""A job that does not move for so long is given up."""
POLL_SECONDS: Final = 0.1
TOTAL: Final = 43
AVAILABLE: Final = 41
FAILING: Final = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """What the demo plays with."""

    client: ApiClient
    http: httpx2.AsyncClient
    number: CaseNumber
    sandbox: str


@dataclass(slots=True)
class Findings:
    """What the steps found, for the steps after them and for the verdict."""

    status: Status | None = None
    secret: str = ""
    documents: list[Document] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def demo(data_dir: Path) -> int:
    """Run the command; returns its exit code."""
    async with _stack(data_dir) as state, _scene(state) as scene:
        findings = Findings()
        for step in STEPS:
            await step(scene, findings)
        console.print()
        print_addresses(state.addresses, data_dir)
    if findings.wrong:
        raise CommandError("\n".join(["The demo is not as it must be:", *findings.wrong]), FAILED)
    console.print(
        f"All is right: {AVAILABLE} of {TOTAL} documents stored and {FAILING} refused for good, "
        "as the case has it. `make up` starts the stack to stay.",
        soft_wrap=True,
    )
    return 0


async def download_case(scene: Scene, findings: Findings) -> None:
    console.print(f"\nDownloading process {scene.number}")
    # An earlier run may have left another one, for which the job would wait.
    await scene.client.set_credential(SANDBOX_TOKEN, None)
    findings.secret = await scene.client.new_webhook_secret()
    await scene.client.start_download(scene.number, webhook_url=f"{scene.sandbox}/receiver/demo")
    last = findings.status = await follow(scene, STILL_SECONDS)
    say(summary(last))
    counted = (last.total_documents, last.completed_documents, last.failed_documents)
    if counted != (TOTAL, AVAILABLE, FAILING):
        findings.wrong.append(
            f"Of {counted[0]} documents {counted[1]} are stored and {counted[2]} failed; the case "
            f"has {TOTAL}, of which {AVAILABLE} can be had and {FAILING} cannot."
        )


async def follow(scene: Scene, still: float) -> Status:
    """Show the job until it has ended; returns the last status.

    Raises:
        CommandError: it did not move for `still` seconds; says what it waits for and the way out.
    """
    last: Status | None = None
    try:
        with progress(console) as board:
            async with timeout(still) as bound:
                async for status in watch(scene.client, scene.number):
                    board.show(scene.number.masked, status)
                    if last is None or _moved(last, status):
                        bound.reschedule(get_running_loop().time() + still)
                    last = status
    except TimeoutError:
        raise CommandError(_stuck(scene, last, still)) from None
    if last is None:
        raise CommandError(f"The service answered nothing about {scene.number}.")
    return last


def _moved(before: Status, after: Status) -> bool:
    def reached(status: Status) -> tuple[object, ...]:
        return status.status, status.total_documents, status.done

    return reached(before) != reached(after)


def _stuck(scene: Scene, last: Status | None, still: float) -> str:
    """What the job waits for, and what to do about it."""
    waits_for = last.waiting_for if last else None
    ways_out = {
        "credential": "`autos credentials set` sets another credential, and `curl -X POST "
        f"{scene.sandbox}/control/reset` makes the sandbox accept {SANDBOX_TOKEN} again",
        "source": f"`curl -X POST {scene.sandbox}/control/reset` ends the sandbox's faults",
        "operator": f"`autos jobs resume {last.job_id if last else ''}` ends the pause",
    }
    why = (waiting(last) if last else None) or "no worker goes on with it"
    way_out = ways_out.get(waits_for or "", "`autos doctor` says what is wrong")
    return (
        f"The demo's job has not moved for {still:.0f} s: {why}.\n"
        f"With the stack up (`make up`), {way_out}. Then run `make demo` again; `make clean` "
        "before it begins anew."
    )


async def list_documents(scene: Scene, findings: Findings) -> None:
    findings.documents = [document async for document in scene.client.documents(scene.number)]
    print_documents(findings.documents)
    findings.wrong += judge(findings.documents)


def judge(documents: list[Document]) -> list[str]:
    """What is not right about the list of documents."""
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


async def open_a_link(scene: Scene, findings: Findings) -> None:
    held = next((d for d in findings.documents if d.status is DocumentState.AVAILABLE), None)
    if held is None or held.download_url is None:
        findings.wrong.append("No document has a link to open.")
        return
    reply = await scene.http.get(held.download_url)
    found = sha256(reply.content).hexdigest()
    if not reply.is_success:
        findings.wrong.append(f"The link of {held.id} answers HTTP {reply.status_code}.")
    elif found != held.sha256:
        findings.wrong.append(f"Document {held.id} has SHA-256 {found}, not {held.sha256}.")
    else:
        say(
            f"Opened the link of “{held.name or held.id}”: {len(reply.content)} bytes, and the "
            f"SHA-256 is the listed one ({found[:12]}…)."
        )


async def verify_webhook(scene: Scene, findings: Findings) -> None:
    """The event of the job's end must arrive, and its signature must be ours."""
    status = findings.status
    request = await _arrived(scene, str(status.job_id) if status else "")
    if request is None:
        findings.wrong.append("No webhook about the job has arrived at the receiver.")
        return
    try:
        event = Webhook(findings.secret).verify(request["body"], request["headers"])
    except WebhookVerificationError:
        findings.wrong.append("The webhook's signature is not that of our secret.")
        return
    say(
        f"The webhook {request['headers']['webhook-id']} ({event['type']}) has arrived, and its "
        "signature is right."
    )


async def _arrived(scene: Scene, job_id: str) -> dict[str, Any] | None:
    """The receiver's newest request about the job, once there is one."""
    with suppress(TimeoutError):
        async with timeout(WEBHOOK_SECONDS):
            while True:
                reply = await scene.http.get(f"{scene.sandbox}/control/receiver/demo")
                for request in reversed(reply.json()["requests"]):
                    if job_id in request["body"]:
                        found: dict[str, Any] = request
                        return found
                await sleep(POLL_SECONDS)
    return None


STEPS: Final = (download_case, list_documents, open_a_link, verify_webhook)


@asynccontextmanager
async def _stack(data_dir: Path) -> AsyncIterator[StackState]:
    """The stack that runs already, else one of our own for the time of the demo."""
    async with AsyncExitStack() as exits:
        try:
            console.print("Starting the embedded stack …")
            await exits.enter_async_context(embedded(data_dir))
        except AlreadyRunning:
            console.print("  It runs already; using that one.")
        yield await _started(data_dir)


async def _started(data_dir: Path) -> StackState:
    """The state of a stack whose own API listens; one that just starts elsewhere is waited for."""
    try:
        async with timeout(START_SECONDS):
            state = StackState.load(data_dir)
            while state is None or not part_listens(data_dir, "api", state.ports.get("api", 0)):
                await sleep(POLL_SECONDS)
                state = StackState.load(data_dir)
    except TimeoutError:
        raise CommandError(
            f"The stack of {data_dir} runs in another process, and its API does not listen after "
            f"{START_SECONDS:.0f} s. Stop it there, and try again."
        ) from None
    if "sandbox" not in state.addresses:
        raise CommandError(
            "The demo needs the sandbox of the embedded stack. Unset AUTOS_PDPJ_BASE_URL "
            "(environment and .env) and try again."
        )
    return state


@asynccontextmanager
async def _scene(state: StackState) -> AsyncIterator[Scene]:
    connection = Connection(state.addresses["api"], state.environment["AUTOS_ADMIN_KEY"])
    async with (
        httpx2.AsyncClient(follow_redirects=True, timeout=30.0, trust_env=False) as http,
        open_client(connection) as client,
    ):
        yield Scene(client, http, KnownCases().names()["demo"], state.addresses["sandbox"])
