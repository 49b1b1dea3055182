"""Plays one round on a running stack: starts the jobs, does the deeds, waits for the ends."""

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
from tests.drills.ground import Ground, Played
from tests.drills.harms import Harms
from tests.drills.invariants import BATCH, Finding, Kind, broken
from tests.drills.plan import (
    Attach,
    Cancel,
    Case,
    Deed,
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
"""A job that has not ended so long after the last deed is stuck."""
SILENT_SECONDS: Final = 75.0
"""A running job whose status has not changed for so long says what it waits for. A last document
that trickles takes a minute."""
_SEQUENCES: Final = count(9_970_001)
"""Of the case numbers; several players may play on one stack."""


@dataclass(frozen=True)
class Result:
    """What came of a round."""

    round: Round
    documents: int
    requests: int
    """For documents."""
    struck: int
    """Those of them that a fault or a dead token spoiled."""
    in_flight: int
    """The most requests for documents that the source had at once."""
    seconds: float
    findings: Sequence[Finding]
    evidence: Sequence[Evidence]

    def count(self, kind: Kind) -> int:
        """How many findings are of this kind."""
        return sum(finding.kind is kind for finding in self.findings)


@dataclass
class PlayedCase:
    """A case of the round as it is played."""

    plan: Case
    truth: dict[str, Any]
    caller: Caller
    promised: list[str] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    waits: set[str] = field(default_factory=set)
    """What its status said that it waited for."""

    @property
    def number(self) -> str:
        """The case's 20 digits."""
        return str(self.truth["number"])


class Player:
    """Plays rounds, one after the other, on one stack; `http` is shared and not closed.

    Without `harms` only parts can be killed and the source can be at fault.
    """

    def __init__(self, stack: Stack, http: httpx2.AsyncClient, harms: Harms | None = None) -> None:
        given = stack.settings_environment()
        self._bound = int(given["AUTOS_SOURCE_MAX_IN_FLIGHT"])
        self._stack = stack
        self._sandbox = Sandbox(http, given["AUTOS_PDPJ_BASE_URL"])
        self._api = Api(http, given["AUTOS_API_URL"], given["AUTOS_ADMIN_KEY"])
        self._ground = Ground.of(stack, http)
        self._harms = harms

    async def play(self, plan: Round) -> Result:
        """Play a round and look at what is left of it.

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
        for part in dict.fromkeys(deed.part for deed in plan.deeds if isinstance(deed, Kill)):
            await self._stack.wait_ready(part)
        findings += await self._wait_for_ends(jobs)
        findings += held_up(plan, jobs)
        findings += await self._ground.permits_left()
        evidence = [await self._look(plan, job) for job in jobs]
        findings += [
            Finding(finding.kind, f"case {place}: {finding.text}")
            for place, case in enumerate(evidence, start=1)
            for finding in broken(case)
        ]
        counters = await self._sandbox.counters()
        in_flight = int(counters["in_flight_max"])
        # A body that is refused half-way, for want of room, is over for the worker some moments
        # before the source notices.
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
        for deed in plan.deeds:
            if isinstance(deed, Fault) and deed.at == 0:
                await self._fault(deed, jobs)
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                for receiver in job.plan.receivers:
                    group.create_task(self._start(job, receiver))
            for deed in plan.deeds:
                if not (isinstance(deed, Fault) and deed.at == 0):
                    group.create_task(self._do(deed, jobs))

    async def _start(self, job: PlayedCase, receiver: Receiver) -> None:
        url = f"{self._sandbox.url}/receiver/{receiver.name}"
        job.promised.append(await job.caller.start(job.number, url, f"key-{receiver.name}"))
        job.receivers.append(receiver.name)
        job.started.set()

    async def _do(self, deed: Deed, jobs: list[PlayedCase]) -> None:
        await asyncio.sleep(deed.at)
        match deed:
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
                await self._fault(deed, jobs)
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

    async def _fault(self, deed: Fault, jobs: list[PlayedCase]) -> None:
        fault = await self._sandbox.control(
            "POST",
            "/faults",
            json={
                "fault": deed.name,
                "process": None if deed.case is None else jobs[deed.case].number,
                "document": deed.document,
                "route": deed.route,
                "when": dict(deed.when),
            },
        )
        if deed.seconds is not None:
            await asyncio.sleep(deed.seconds)
            await self._sandbox.control("DELETE", f"/faults/{fault['id']}")

    async def _revoke(self, seconds: float, caller: Caller) -> None:
        await self._sandbox.control("POST", "/tokens/revoke", json={})
        await asyncio.sleep(seconds)
        # The next rounds use this token, too: it is valid for eight hours.
        new = await self._sandbox.control("POST", "/tokens", json={})
        body = {"access_token": new["access_token"]}
        reply = await caller.ask("PUT", "/credentials/pdpj", json=body)
        if reply.status_code != 200:
            caller.complaints.append(f"a new credential was answered {reply.text}")

    async def _pause(self, job: PlayedCase, seconds: float) -> None:
        await job.started.wait()
        if await job.caller.steer(job.promised[0], "pause"):
            await asyncio.sleep(seconds)
            await job.caller.steer(job.promised[0], "resume")

    async def _wait_for_ends(self, jobs: list[PlayedCase]) -> list[Finding]:
        async def end(place: int, job: PlayedCase) -> list[Finding]:
            said = "no status"
            silence = Unanswered()
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    async for status in job.caller.watch(job.number):
                        said = f"{status['status']}, waiting for {status['waiting_for']}"
                        if status["waiting_for"]:
                            job.waits.add(status["waiting_for"])
                        silence.hear(status)
            except (TimeoutError, NoAnswer) as error:
                said = str(error) or said
                running = "; ".join(await self._ground.running(job.number))
                return [Finding(Kind.STUCK, f"case {place} has not ended: {said}; {running}")]
            await self._ground.settled(job.number)
            if silence.longest > SILENT_SECONDS:
                text = f"case {place} stood still for {silence.longest:.0f} s and did not say why"
                return [Finding(Kind.SILENT, text)]
            return []

        waits: list[Awaitable[list[Finding]]] = [
            end(place, job) for place, job in enumerate(jobs, start=1) if job.promised
        ]
        return [finding for findings in await asyncio.gather(*waits) for finding in findings]

    async def _look(self, plan: Round, job: PlayedCase) -> Evidence:
        return await self._ground.evidence(
            Played(
                number=job.number,
                truth=job.truth,
                jobs_promised=job.promised,
                receivers=job.receivers,
                cancelled=job.cancelled,
                kills=dict(Counter(deed.part for deed in plan.deeds if isinstance(deed, Kill))),
                harms=dict(Counter(deed.name for deed in plan.deeds if isinstance(deed, Harm))),
                revocations=sum(isinstance(deed, Revocation) for deed in plan.deeds),
                outages=sum(
                    isinstance(deed, Fault) and deed.seconds is not None for deed in plan.deeds
                ),
                complaints=job.caller.complaints,
            ),
            job.caller,
        )


class Unanswered:
    """How long a running job's status stood still without a reason."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.longest = 0.0
        self._clock = clock
        self._last: tuple[object, ...] = ()
        self._since = clock()

    def hear(self, status: Mapping[str, Any]) -> None:
        """Take in one status."""
        counters = tuple(value for name, value in status.items() if name.endswith("_documents"))
        said = (status["status"], status["job_id"], *counters)
        explained = status["waiting_for"] or not status["live"] or status["next_try_at"]
        if explained or said != self._last:
            self._last, self._since = said, self._clock()
        self.longest = max(self.longest, self._clock() - self._since)


def held_up(plan: Round, jobs: list[PlayedCase]) -> list[Finding]:
    """Cases that waited although all that was done concerned other cases, of other courts."""
    struck = {deed.case for deed in plan.deeds if isinstance(deed, Fault)}
    elsewhere = (Kill, Restart, Revocation, Harm)
    if not struck or None in struck or any(isinstance(deed, elsewhere) for deed in plan.deeds):
        return []
    return [
        Finding(Kind.HELD_UP, f"case {place + 1} waited for {', '.join(sorted(waits))}")
        for place, job in enumerate(jobs)
        if place not in struck and (waits := job.waits - {"operator"})
    ]
