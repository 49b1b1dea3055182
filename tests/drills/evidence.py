"""What is known of one case after a round: from the outside (REST, links, webhooks) and the ground.

Plain data, so that the invariants can be tested with evidence of broken promises.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from autos.contracts.reasons import Reason
from tests.drills.faults import REASONS, UNSTRUCK, Strikes

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """A document as the sandbox knows it, and how the source was asked for it."""

    uuid: str
    copies: tuple[str, ...]
    """Its ids in all listings, `uuid` among them."""
    sha256: str
    size: int
    well: int = 0
    """Requests that no fault struck and no dead token spoiled."""
    strikes: Strikes = UNSTRUCK


_LOSSES: Final = {"freeze worker": 4, "fill spool": 8}
"""A batch that a frozen worker holds is missed after 15 s, and its next attempt may be handed to
the same worker, whose polls are still open: four attempts in 40 s at the most. What a full spool
refuses by its declared length is asked for again by the schedule of `storage`: so often in 6 s."""


@dataclass(frozen=True)
class Evidence:
    """One case."""

    number: str
    documents: Sequence[Known]
    jobs_promised: Sequence[str]
    """The ids that callers were given with a 2xx."""
    cancelled: bool = False
    """A cancellation was accepted."""
    kills: Mapping[str, int] = field(default_factory=dict)
    """How often each part was killed in the round."""
    harms: Mapping[str, int] = field(default_factory=dict)
    """How often each harm was done in the round."""
    revocations: int = 0
    outages: int = 0
    """Faults that struck the whole source for a while."""

    status: Row = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    """What the link of each available document opened: its hash, or what went wrong."""
    listings: int = 0
    """Requests for the case's detail that nothing spoiled."""

    jobs: Sequence[Row] = ()
    rows: Sequence[Row] = ()
    subscriptions: Sequence[Row] = ()
    deliveries: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    open_keys: int = 0
    """Idempotency keys without an answer."""

    keys: frozenset[str] = frozenset()
    """What S3 lists under the case's prefix."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Hash by name of every file that the store keeps for the case on its disk."""
    manifest: Row = field(default_factory=dict)
    spooled: Sequence[str] = ()
    """Files left in the worker's spool."""
    running: Sequence[str] = ()
    """Workflows of the case that have not ended, and what they are at."""
    received: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """What came in, by the address of the receiver."""
    complaints: Sequence[str] = ()
    """What the callers saw."""

    def killed(self, *parts: str) -> int:
        """How often these parts were killed."""
        return sum(self.kills.get(part, 0) for part in parts)

    @property
    def harmed(self) -> int:
        """How often work in hand may have been lost by something else than a kill."""
        return sum(_LOSSES.get(name, 1) * times for name, times in self.harms.items())


def with_requests(documents: Sequence[Known], log: Sequence[Row]) -> list[Known]:
    """The documents with what the sandbox's log says of the requests for them."""
    well: Counter[str] = Counter()
    struck: dict[str, list[Reason]] = {}
    owner = {copy: document.uuid for document in documents for copy in document.copies}
    for request in log:
        uuid = owner.get(str(request["document"]))
        if uuid is None:
            continue
        if request["faults"]:
            struck.setdefault(uuid, []).append(REASONS[request["faults"][-1]])
        elif request["status"] == 401:
            struck.setdefault(uuid, []).append(Reason.CREDENTIAL)
        else:
            well[uuid] += 1
    return [
        Known(
            document.uuid,
            document.copies,
            document.sha256,
            document.size,
            well[document.uuid],
            Strikes(tuple(struck.get(document.uuid, ()))),
        )
        for document in documents
    ]
