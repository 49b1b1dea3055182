"""The scripted faults in force, and which requests each one applies to.

Faults are applied in the order in which they were added, later ones on top of earlier ones. A
random fault depends on its seed, the path, and the count of requests for that path, so that
parallel requests get the same faults in any order.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sandbox.faults import FaultName, Route


class When(BaseModel):
    """Which of the matching requests a fault applies to."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["always", "first", "random"] = "always"
    count: int = Field(default=1, ge=0)
    """For `first`: the number of requests."""
    each: bool = False
    """For `first`: count each path separately."""
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
    skip: int = Field(default=0, ge=0)
    """Number of first requests without the fault (with `each`: per path)."""


class Fault(BaseModel):
    """A scripted fault, as it is posted."""

    model_config = ConfigDict(extra="forbid")

    fault: FaultName
    process: str | None = None
    """The digits; None for all."""
    document: str | int | None = None
    """A UUID, or a position in the list, 0 the newest; None for all."""
    route: Route | None = None
    """Overrides the default routes of the fault."""
    when: When = Field(default_factory=When)
    parameters: dict[str, JsonValue] = Field(default_factory=dict)

    def matches(self, route: Route, process: str | None, document: str | None) -> bool:
        """True if the request is one that the fault may apply to."""
        routes = {self.route} if self.route else self.fault.routes
        # `document` names the piece to withhold, in a request for the case.
        any_document = self.document is None or self.fault is FaultName.PIECE_WITHHELD
        return (
            route in routes
            and self.process in (None, process)
            and (any_document or self.document == document)
        )


@dataclass
class Entry:
    """A fault in force, with its counts."""

    id: int
    fault: Fault
    fitted: int = 0
    """Matching requests."""
    struck: int = 0
    """Requests it was applied to."""
    seen: Counter[str] = field(default_factory=Counter)

    def applies(self, path: str) -> bool:
        """Count a matching request; True if the fault applies to it."""
        self.fitted += 1
        self.seen[path] += 1
        when = self.fault.when
        turn = (self.seen[path] if when.each else self.fitted) - when.skip
        match when.mode:
            case "always":
                struck = turn > 0
            case "first":
                struck = 0 < turn <= when.count
            case "random":
                drawn = hashlib.sha256(f"{when.seed}/{path}/{self.seen[path]}".encode()).digest()
                struck = turn > 0 and int.from_bytes(drawn[:6]) < when.probability * 2**48
        self.struck += struck
        return struck


class FaultSchedule:
    """The faults in force."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        """Put a fault in force; returns its id."""
        entry = Entry(self._next_id, fault)
        self._entries[entry.id] = entry
        self._next_id += 1
        return entry.id

    def remove(self, fault_id: int) -> bool:
        """False if there is no such fault."""
        return self._entries.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Remove every fault."""
        self._entries.clear()

    def entries(self) -> list[Entry]:
        """Oldest first."""
        return list(self._entries.values())

    def applying(
        self, path: str, route: Route, process: str | None, document: str | None
    ) -> list[Fault]:
        """The faults that apply to this request, which is counted."""
        return [
            entry.fault
            for entry in self._entries.values()
            if entry.fault.matches(route, process, document) and entry.applies(path)
        ]
