"""Plays a round on a running stack: starts the jobs, runs the actions, waits for the ends."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any, Final

import httpx2

from autos.cnj import CaseNumber
from cli.stack import Stack
from tests.drills.client import Caller, NoAnswer
from tests.drills.evidence import Evidence
from tests.drills.evidence_reader import EvidenceReader, Played
from tests.drills.harms import Harms
from tests.drills.invariants import BATCH, Finding, Kind, broken
from tests.drills.plan import (
    Action,
    Attach,
    Cancel,
    Case,
    Fault,
    Harm,
    Kill,
    Pause,
    Receiver,
    Restart,
    Revocation,
    Round,
)
from tests.e2e.clients import Api, Sandbox

STUCK_SECONDS: Final = 180.0
"""A job that has not ended this long after the last action is stuck."""
SILENT_SECONDS: Final = 75.0
"""A running job whose status has not changed for this long must show a wait. A slow last document
takes a minute."""
_SEQUENCES: Final = count(9_970_001)
"""Sequence of the case numbers, unique for all players of a stack."""


@dataclass(frozen=True)
class Result:
    """The result of a round."""

    round: Round
    documents: int
    requests: int
    """For documents."""
    struck: int
    """Requests that failed because of a fault or a refused token."""
    in_flight: int
    """The maximum of concurrent document requests at the source."""
    seconds: float
    findings: Sequence[Finding]
    evidence: Sequence[Evidence]

    def count(self, kind: Kind) -> int:
        """The number of findings of this kind."""
        return sum(finding.kind is kind for finding in self.findings)


@dataclass
class PlayedCase:
    """A case of the round with its state."""

    plan: Case
    truth: dict[str, Any]
    caller: Caller
    promised: list[str] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    waits: set[str] = field(default_factory=set)
    """The `waiting_for` values that its status showed."""

    @property
    def number(self) -> str:
        """The case's 20 digits."""
        return str(self.truth["number"])


class Player:
    """Plays rounds, one after the other, on one stack; `http` is shared and not closed.

    Without `harms`, only kills and faults of the source are possible.
    """

    def __init__(self, stack: Stack, http: httpx2.AsyncClient, harms: Harms | None = None) -> None:
        given = stack.settings_environment()
        self._bound = int(given["AUTOS_SOURCE_MAX_IN_FLIGHT"])
        self._stack = stack
        self._sandbox = Sandbox(http, given["AUTOS_PDPJ_BASE_URL"])
        self._api = Api(http, given["AUTOS_API_URL"], given["AUTOS_ADMIN_KEY"])
        self._reader = EvidenceReader.of(stack, http)
        self._harms = harms

    async def play(self, plan: Round) -> Result:
        """Play a round and check the guarantees.

        Raises:
            StackError: a part that was killed does not come back.
        """
        began = monotonic()
        await self._sandbox.reset()
        await self._sandbox.control("POST", "/switches", json={"latency_ms": plan.latency_ms})
        jobs = [await self._make(plan, case) for case in plan.cases]
        findings: list[Finding] = []
        try:
            await self._act(plan, jobs)
        except* NoAnswer as group:
            findings += [Finding(Kind.STUCK, str(error)) for error in group.exceptions]
        for part in dict.fromkeys(
            action.part for action in plan.actions if isinstance(action, Kill)
        ):
            await self._stack.wait_ready(part)
        findings += await self._wait_for_ends(jobs)
        findings += held_up(plan, jobs)
        findings += await self._reader.permits_left()
        evidence = [await self._look(plan, job) for job in jobs]
        findings += [
            Finding(finding.kind, f"case {place}: {finding.text}")
            for place, case in enumerate(evidence, start=1)
            for finding in broken(case)
        ]
        counters = await self._sandbox.counters()
        in_flight = int(counters["in_flight_max"])
        # A body that is refused for lack of space ends for the worker slightly before the source
        # notices.
        allowed = self._bound + BATCH * plan.harmed("fill spool")
        if in_flight > allowed:
            text = f"{in_flight} requests at once at the source, {allowed} are allowed"
            findings.append(Finding(Kind.EXCEEDED, text))
        return Result(
            round=plan,
            documents=sum(len(case.documents) for case in evidence),
            requests=sum(counters["documents"].values()),
            struck=sum(
                len(document.strikes.reasons) for case in evidence for document in case.documents
            ),
            in_flight=in_flight,
            seconds=monotonic() - began,
            findings=findings,
            evidence=evidence,
        )

    async def _make(self, plan: Round, case: Case) -> PlayedCase:
        for receiver in case.receivers:
            await self._script(receiver)
        number = CaseNumber.build(next(_SEQUENCES), 2024, 8, case.court, 100)
        truth = await self._sandbox.new_case(
            case.documents,
            number=number.digits,
            size_bytes=plan.size_bytes,
            shape=case.shape,
            seed=case.seed,
        )
        return PlayedCase(case, truth, Caller(self._api))

    async def _script(self, receiver: Receiver) -> None:
        if receiver.behaviour:
            path = f"/receiver/{receiver.name}"
            await self._sandbox.control("POST", path, json=dict(receiver.behaviour))

    async def _act(self, plan: Round, jobs: list[PlayedCase]) -> None:
        for action in plan.actions:
            if isinstance(action, Fault) and action.at == 0:
                await self._fault(action, jobs)
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                for receiver in job.plan.receivers:
                    group.create_task(self._start(job, receiver))
            for action in plan.actions:
                if not (isinstance(action, Fault) and action.at == 0):
                    group.create_task(self._do(action, jobs))

    async def _start(self, job: PlayedCase, receiver: Receiver) -> None:
        url = f"{self._sandbox.url}/receiver/{receiver.name}"
        job.promised.append(await job.caller.start(job.number, url, f"key-{receiver.name}"))
        job.receivers.append(receiver.name)
        job.started.set()

    async def _do(self, action: Action, jobs: list[PlayedCase]) -> None:
        await asyncio.sleep(action.at)
        match action:
            case Kill(part=part, down=None):
                await self._stack.kill(part)
            case Kill(part=part, down=float(down)):
                await self._stack.kill(part, stay_down=True)
                await asyncio.sleep(down)
                self._stack.start(part)
            case Restart(down=down):
                await self._stack.stop("worker")
                await asyncio.sleep(down)
                self._stack.start("worker")
                await self._stack.wait_ready("worker")
            case Fault():
                await self._fault(action, jobs)
            case Harm(name=name, seconds=seconds):
                if self._harms is not None:
                    await self._harms.do(name, seconds)
            case Revocation(seconds=seconds):
                await self._revoke(seconds, jobs[0].caller)
            case Attach(case=place, receiver=receiver):
                await self._script(receiver)
                await self._start(jobs[place], receiver)
            case Pause(case=place, seconds=seconds):
                await self._pause(jobs[place], seconds)
            case Cancel(case=place):
                job = jobs[place]
                await job.started.wait()
                job.cancelled = await job.caller.steer(job.promised[0], "cancel")

    async def _fault(self, action: Fault, jobs: list[PlayedCase]) -> None:
        fault = await self._sandbox.control(
            "POST",
            "/faults",
            json={
                "fault": action.name,
                "process": None if action.case is None else jobs[action.case].number,
                "document": action.document,
                "route": action.route,
                "when": dict(action.when),
            },
        )
        if action.seconds is not None:
            await asyncio.sleep(action.seconds)
            await self._sandbox.control("DELETE", f"/faults/{fault['id']}")

    async def _revoke(self, seconds: float, caller: Caller) -> None:
        await self._sandbox.control("POST", "/tokens/revoke", json={})
        await asyncio.sleep(seconds)
        # The next rounds use this token, too: it is valid for eight hours.
        new = await self._sandbox.control("POST", "/tokens", json={})
        body = {"access_token": new["access_token"]}
        reply = await caller.send("PUT", "/credentials/pdpj", json=body)
        if reply.status_code != 200:
            caller.complaints.append(f"a new credential was answered {reply.text}")

    async def _pause(self, job: PlayedCase, seconds: float) -> None:
        await job.started.wait()
        if await job.caller.steer(job.promised[0], "pause"):
            await asyncio.sleep(seconds)
            await job.caller.steer(job.promised[0], "resume")

    async def _wait_for_ends(self, jobs: list[PlayedCase]) -> list[Finding]:
        async def end(place: int, job: PlayedCase) -> list[Finding]:
            shown = "no status"
            unchanged = Unanswered()
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    async for status in job.caller.watch(job.number):
                        shown = f"{status['status']}, waiting for {status['waiting_for']}"
                        if status["waiting_for"]:
                            job.waits.add(status["waiting_for"])
                        unchanged.observe(status)
            except (TimeoutError, NoAnswer) as error:
                shown = str(error) or shown
                running = "; ".join(await self._reader.running(job.number))
                return [Finding(Kind.STUCK, f"case {place} has not ended: {shown}; {running}")]
            await self._reader.settled(job.number)
            if unchanged.longest > SILENT_SECONDS:
                text = (
                    f"case {place} did not change for {unchanged.longest:.0f} s and showed no wait"
                )
                return [Finding(Kind.SILENT, text)]
            return []

        waits: list[Awaitable[list[Finding]]] = [
            end(place, job) for place, job in enumerate(jobs, start=1) if job.promised
        ]
        return [finding for findings in await asyncio.gather(*waits) for finding in findings]

    async def _look(self, plan: Round, job: PlayedCase) -> Evidence:
        return await self._reader.evidence(
            Played(
                number=job.number,
                truth=job.truth,
                jobs_promised=job.promised,
                receivers=job.receivers,
                cancelled=job.cancelled,
                kills=dict(
                    Counter(action.part for action in plan.actions if isinstance(action, Kill))
                ),
                harms=dict(
                    Counter(action.name for action in plan.actions if isinstance(action, Harm))
                ),
                revocations=sum(isinstance(action, Revocation) for action in plan.actions),
                outages=sum(
                    isinstance(action, Fault) and action.seconds is not None
                    for action in plan.actions
                ),
                complaints=job.caller.complaints,
            ),
            job.caller,
        )


class Unanswered:
    """The longest time for which a running job's status did not change without a reason."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.longest = 0.0
        self._clock = clock
        self._last: tuple[object, ...] = ()
        self._since = clock()

    def observe(self, status: Mapping[str, Any]) -> None:
        """Process one status."""
        counters = tuple(value for name, value in status.items() if name.endswith("_documents"))
        shown = (status["status"], status["job_id"], *counters)
        explained = status["waiting_for"] or not status["live"] or status["next_try_at"]
        if explained or shown != self._last:
            self._last, self._since = shown, self._clock()
        self.longest = max(self.longest, self._clock() - self._since)


def held_up(plan: Round, jobs: list[PlayedCase]) -> list[Finding]:
    """Cases that waited although all faults concerned cases of other courts."""
    struck = {action.case for action in plan.actions if isinstance(action, Fault)}
    elsewhere = (Kill, Restart, Revocation, Harm)
    if (
        not struck
        or None in struck
        or any(isinstance(action, elsewhere) for action in plan.actions)
    ):
        return []
    return [
        Finding(Kind.HELD_UP, f"case {place + 1} waited for {', '.join(sorted(waits))}")
        for place, job in enumerate(jobs)
        if place not in struck and (waits := job.waits - {"operator"})
    ]
