"""The active faults, and the requests that each of them applies to.

Faults are applied in the order in which they were added; a later fault changes the reply of an
earlier one. A random fault depends on its seed, the path and the number of requests for that path,
so the order of parallel requests does not matter.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sandbox.faults import FaultName, Route


class Condition(BaseModel):
    """Selects the matching requests that a fault applies to."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["always", "first", "random"] = "always"
    count: int = Field(default=1, ge=0)
    """For `first`: the number of requests."""
    each: bool = False
    """For `first`: count each path separately."""
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
    skip: int = Field(default=0, ge=0)
    """Requests to spare before the fault applies (with `each`: per path)."""


class Fault(BaseModel):
    """A fault, as posted to the control API."""

    model_config = ConfigDict(extra="forbid")

    fault: FaultName
    process: str | None = None
    """The 20 digits of a case number; None for all cases."""
    document: str | int | None = None
    """A UUID, or a position in the list (0 is the newest); None for all documents."""
    route: Route | None = None
    """Overrides the default routes of the fault."""
    when: Condition = Field(default_factory=Condition)
    parameters: dict[str, JsonValue] = Field(default_factory=dict)

    def matches(self, route: Route, process: str | None, document: str | None) -> bool:
        """Whether the fault is for this kind of request, case and document."""
        routes = {self.route} if self.route else self.fault.routes
        # This fault applies to requests for the case; `document` is the piece to leave out.
        any_document = self.document is None or self.fault is FaultName.PIECE_WITHHELD
        return (
            route in routes
            and self.process in (None, process)
            and (any_document or self.document == document)
        )


@dataclass
class ActiveFault:
    """A fault with its counts of requests."""

    id: int
    fault: Fault
    matched: int = 0
    """Requests that matched."""
    applied: int = 0
    """Requests that the fault was applied to."""
    matched_by_path: Counter[str] = field(default_factory=Counter)

    def applies(self, path: str) -> bool:
        """Count a matching request; True if the fault applies to it."""
        self.matched += 1
        self.matched_by_path[path] += 1
        condition, on_path = self.fault.when, self.matched_by_path[path]
        position = (on_path if condition.each else self.matched) - condition.skip
        match condition.mode:
            case "always":
                applies = position > 0
            case "first":
                applies = 0 < position <= condition.count
            case "random":
                digest = hashlib.sha256(f"{condition.seed}/{path}/{on_path}".encode()).digest()
                chance = int.from_bytes(digest[:6]) / 2**48
                applies = position > 0 and chance < condition.probability
        self.applied += applies
        return applies


class FaultSchedule:
    """All active faults."""

    def __init__(self) -> None:
        self._active: dict[int, ActiveFault] = {}
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        """Activate a fault; returns its id."""
        active = ActiveFault(self._next_id, fault)
        self._active[active.id] = active
        self._next_id += 1
        return active.id

    def remove(self, fault_id: int) -> bool:
        """Remove a fault; False if there is none with this id."""
        return self._active.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Remove every fault."""
        self._active.clear()

    def active(self) -> list[ActiveFault]:
        """The active faults, oldest first."""
        return list(self._active.values())

    def applying(
        self, path: str, route: Route, process: str | None, document: str | None
    ) -> list[Fault]:
        """Count a request; returns the faults that apply to it."""
        return [
            active.fault
            for active in self._active.values()
            if active.fault.matches(route, process, document) and active.applies(path)
        ]
