"""The plan of a round: its actions and their times, determined by the seed.

Does not promise the same effect: two rounds of one seed may meet the jobs at different points.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.drills.faults import FINAL, OUTAGES, PASSING, REFUSED, SLOW
from tests.drills.harms import HARMS

PARTS: Final = ("worker", "api", "temporal", "postgres", "s3")
SHAPES: Final = ("simple", "listed-twice", "two-instances")

_CHANCES: Final = {
    "kill": 30,
    "two kills": 8,
    "restart": 6,
    "fault": 22,
    "revocation": 8,
    "harm": 26,
}
"""Probability of each disturbance in per cent."""
_PART_OF: Final = {name: name.split()[1] if name.startswith("freeze") else "" for name in HARMS}
_COURTS: Final = (26, 19, 13)
_IN_FLIGHT: Final = 5
"""Concurrent requests of one job."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook receiver; `behaviour` scripts its first responses, empty for 2xx."""

    name: str
    behaviour: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A case to create and download, with one webhook per receiver."""

    documents: int
    shape: str
    seed: int
    receivers: tuple[Receiver, ...]
    court: int = 26
    """The court's two digits in the case number; different for the cases of a round."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to a part."""

    at: float
    part: str
    down: float | None = None
    """Seconds until it is restarted; None leaves the restart to the stack."""

    def __str__(self) -> str:
        """What happens, for the table."""
        after = "" if self.down is None else f", back after {self.down:.1f}"
        return f"{self.at:.2f} kill {self.part}{after}"


@dataclass(frozen=True, slots=True)
class Restart:
    """The worker is stopped by SIGTERM and started again."""

    at: float
    down: float

    def __str__(self) -> str:
        """What happens, for the table."""
        return f"{self.at:.2f} stop worker, back after {self.down:.1f}"


@dataclass(frozen=True, slots=True)
class Harm:
    """A temporary harm (tests/drills/harms.py)."""

    at: float
    name: str
    seconds: float

    def __str__(self) -> str:
        """What happens, for the table."""
        return f"{self.at:.2f} {self.name} for {self.seconds:.1f}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the sandbox."""

    at: float
    """At 0 it is enabled before any job starts."""
    name: str
    case: int | None
    """Index of the affected case; None for the whole source."""
    document: int | None = None
    """Index of the affected document; None for all."""
    route: str | None = None
    when: Mapping[str, object] = field(default_factory=lambda: {"mode": "always"})
    seconds: float | None = None
    """Its duration; None for the whole round."""

    def __str__(self) -> str:
        """What happens, for the table."""
        where = "source" if self.case is None else f"case {self.case + 1}"
        if self.document is not None:
            where += f" document {self.document}"
        if self.route == "detail":
            where += " listing"
        match self.when:
            case {"mode": "first", "count": count, "each": True}:
                often = f"first {count} each"
            case {"mode": "first", "count": count}:
                often = f"first {count}"
            case {"mode": "random", "probability": probability}:
                often = f"at random {probability}"
            case _:
                often = "always" if self.seconds is None else f"for {self.seconds:.1f}"
        return f"{self.at:.2f} {self.name} {where} {often}"


@dataclass(frozen=True, slots=True)
class Revocation:
    """All tokens of the source are revoked; a new one is set later."""

    at: float
    seconds: float

    def __str__(self) -> str:
        """What happens, for the table."""
        return f"{self.at:.2f} token revoked, new one after {self.seconds:.1f}"


@dataclass(frozen=True, slots=True)
class Attach:
    """A second caller requests the same case with a webhook."""

    at: float
    case: int
    receiver: Receiver

    def __str__(self) -> str:
        """What happens, for the table."""
        return f"{self.at:.2f} second caller case {self.case + 1}"


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause and the resume after it."""

    at: float
    case: int
    seconds: float

    def __str__(self) -> str:
        """What happens, for the table."""
        return f"{self.at:.2f} pause case {self.case + 1} for {self.seconds:.1f}"


@dataclass(frozen=True, slots=True)
class Cancel:
    """A job is cancelled."""

    at: float
    case: int

    def __str__(self) -> str:
        """What happens, for the table."""
        return f"{self.at:.2f} cancel case {self.case + 1}"


Action = Kill | Restart | Harm | Fault | Revocation | Attach | Pause | Cancel


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the cases, and the actions by their time in seconds after the jobs' start."""

    seed: int
    latency_ms: int
    """The source's latency for each document."""
    size_bytes: int
    cases: tuple[Case, ...]
    actions: tuple[Action, ...]

    def kills(self, *parts: str) -> int:
        """The number of kills of these parts."""
        return sum(isinstance(action, Kill) and action.part in parts for action in self.actions)

    def harmed(self, *names: str) -> int:
        """The number of harms with these names; of all harms without names."""
        return sum(
            isinstance(action, Harm) and (not names or action.name in names)
            for action in self.actions
        )

    @property
    def cancelled(self) -> frozenset[int]:
        """The cases that are cancelled."""
        return frozenset(action.case for action in self.actions if isinstance(action, Cancel))


def make_round(seed: int) -> Round:
    """The round of this seed."""
    chance = random.Random(f"drill/{seed}")
    cases = tuple(
        _case(chance, f"drill-{seed}-{place}", _COURTS[place])
        for place in range(chance.choice((2, 3)))
    )
    latency = chance.randrange(100, 260, 20)
    longest = max(case.documents for case in cases) / _IN_FLIGHT * latency / 1000
    # A little longer than the expected duration, to include the end and the webhooks.
    span = longest * 1.1 + 0.3
    actions: list[Action] = []
    for _ in range(chance.choice((1, 1, 1, 2, 2))):
        actions += _disturbance(chance, span, cases, actions)
    actions += _callers(chance, span, cases, f"drill-{seed}-second")
    size = chance.choice((3_000, 20_000, 60_000))
    if any(isinstance(action, Harm) and action.name == "fill spool" for action in actions):
        # Only documents that do not fit into memory are spooled to disk.
        size = 9_500_000
        cases = tuple(replace(case, documents=min(case.documents, 8)) for case in cases)
        actions = [_within(action, cases) for action in actions]
    return Round(
        seed=seed,
        latency_ms=latency,
        size_bytes=size,
        cases=cases,
        actions=tuple(sorted(actions, key=lambda action: action.at)),
    )


def _within(action: Action, cases: tuple[Case, ...]) -> Action:
    """The action, limited to documents that the case has."""
    if isinstance(action, Fault) and action.case is not None and action.document is not None:
        return replace(action, document=action.document % (cases[action.case].documents // 2))
    return action


def _case(chance: random.Random, name: str, court: int) -> Case:
    count = chance.choice((1, 1, 2))
    return Case(
        documents=chance.randrange(15, 60),
        shape=chance.choice(SHAPES),
        seed=chance.randrange(10**6),
        receivers=tuple(_receiver(chance, f"{name}-{number}") for number in range(count)),
        court=court,
    )


def _receiver(chance: random.Random, name: str) -> Receiver:
    # Only once: the second delay of the schedule is 30 s (autos/contracts/retries.py).
    behaviour = {"behaviour": chance.choice(("status", "drop", "redirect")), "count": 1}
    return Receiver(name, behaviour if chance.random() < 0.12 else {})


def _disturbance(
    chance: random.Random, span: float, cases: tuple[Case, ...], before: list[Action]
) -> list[Action]:
    (kind,) = chance.choices(list(_CHANCES), list(_CHANCES.values()))
    # No part is killed twice: it might be down or just starting.
    taken = {action.part for action in before if isinstance(action, Kill)}
    taken |= {"worker" for action in before if isinstance(action, Restart)}
    taken |= {
        word
        for action in before
        if isinstance(action, Harm)
        for word in _PART_OF[action.name].split()
    }
    free = [part for part in PARTS if part not in taken]
    at = round(chance.uniform(0, span), 2)
    match kind:
        case "restart" if "worker" in free:
            return [Restart(at, round(chance.uniform(0, 2), 1))]
        case "fault":
            return [_fault(chance, at, cases)]
        case "harm":
            return [_harm(chance, at, taken)]
        case "revocation" if not any(isinstance(action, Revocation) for action in before):
            return [Revocation(at, round(chance.uniform(0.3, 2), 1))]
        case "two kills":
            later = at + chance.choice((0, 0.1, 1))
            parts = chance.sample(free, 2)
            return [_kill(chance, at, parts[0]), _kill(chance, round(later, 2), parts[1])]
        case _:
            return [_kill(chance, at, chance.choice(free))]


def _kill(chance: random.Random, at: float, part: str) -> Kill:
    return Kill(at, part, chance.choice((None, None, round(chance.uniform(0.2, 3), 1))))


def _harm(chance: random.Random, at: float, taken: set[str]) -> Harm:
    # A part that is killed in this round is not frozen as well.
    fitting = [name for name in HARMS if not (taken & set(name.split()))]
    name = chance.choice(fitting)
    shortest, longest = HARMS[name]
    return Harm(at, name, round(chance.uniform(shortest, longest), 1))


def _fault(chance: random.Random, at: float, cases: tuple[Case, ...]) -> Fault:
    case = chance.randrange(len(cases))
    anywhere = chance.choice((None, case))
    early = chance.choice((0.0, 0.0, round(at / 2, 2)))
    match chance.choice(
        ("outage", "outage", "first", "random", "slow", "final", "refused", "listing")
    ):
        case "outage":
            seconds = round(chance.uniform(0.3, 2), 1)
            return Fault(at, chance.choice(OUTAGES), anywhere, seconds=seconds)
        case "first":
            count = chance.choice((1, 2))
            when = {"mode": "first", "count": count, "each": True}
            return Fault(early, chance.choice(PASSING), case, route="document", when=when)
        case "random":
            probability = chance.choice((0.05, 0.1, 0.2))
            seed = chance.randrange(10**6)
            when = {"mode": "random", "probability": probability, "seed": seed}
            return Fault(early, chance.choice(PASSING), anywhere, route="document", when=when)
        case "slow":
            when = {"mode": "first", "count": chance.choice((1, 3))}
            return Fault(at, chance.choice(SLOW), anywhere, route="document", when=when)
        case "refused":
            # Refused for this document only, which says nothing about the credential.
            document = chance.randrange(cases[case].documents // 2)
            return Fault(early, REFUSED, case, document=document, route="document")
        case "final":
            document = chance.randrange(cases[case].documents // 2)
            return Fault(early, chance.choice(FINAL), case, document=document)
        case _:
            when = {"mode": "first", "count": chance.choice((1, 2, 3))}
            return Fault(0.0, chance.choice(OUTAGES), case, route="detail", when=when)


def _callers(
    chance: random.Random, span: float, cases: tuple[Case, ...], name: str
) -> list[Action]:
    case = chance.randrange(len(cases))
    at = round(chance.uniform(0, span), 2)
    match chance.choice(("none", "none", "attach", "attach", "pause", "cancel")):
        case "attach":
            return [Attach(at, case, _receiver(chance, name))]
        case "pause":
            return [Pause(at, case, round(chance.uniform(0.2, 2), 1))]
        case "cancel":
            return [Cancel(at, case)]
        case _:
            return []


FIXED: Final = tuple(
    Round(
        seed=-number,
        latency_ms=100,
        size_bytes=20_000,
        cases=(
            Case(60, "two-instances", number, (Receiver(f"fixed-{number}-1"),)),
            Case(20, "listed-twice", number, (Receiver(f"fixed-{number}-2"),), court=19),
        ),
        actions=actions,
    )
    for number, actions in enumerate(
        (
            (Kill(0.5, "worker"),),
            (Kill(0.5, "postgres"), Attach(0.7, 0, Receiver("fixed-2-second"))),
            (Kill(0.4, "temporal"), Kill(0.8, "api")),
            (
                Fault(0.0, "truncated", 0, route="document", when={"mode": "first", "count": 7}),
                Kill(0.6, "s3", 1.0),
            ),
        ),
        start=1,
    )
)
"""The short set of `make test`: together they kill each part during two jobs."""
