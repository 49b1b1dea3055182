"""The evidence of one case after a round: from REST, links and webhooks, and from the servers.

Plain data, so the invariants can be tested with evidence of broken guarantees.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from autos.contracts.reasons import Reason
from tests.drills.faults import REASONS, UNSTRUCK, Strikes

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of the sandbox, and the requests for it."""

    uuid: str
    copies: tuple[str, ...]
    """Its ids in all listings, including `uuid`."""
    sha256: str
    size: int
    clean_requests: int = 0
    """Requests without a fault or a refused token."""
    strikes: Strikes = UNSTRUCK


_LOSSES: Final = {"freeze worker": 4, "fill spool": 8}
"""How often one harm can lose work. The batch of a frozen worker times out after 15 s, and its next
attempt may go to the same worker, whose polls are still open: at most four attempts in 40 s.
Documents that a full spool refuses are retried on the schedule of `storage`: eight times in 6 s."""


@dataclass(frozen=True)
class Evidence:
    """One case."""

    number: str
    documents: Sequence[KnownDocument]
    jobs_promised: Sequence[str]
    """The ids returned to callers with a 2xx."""
    cancelled: bool = False
    """A cancellation was accepted."""
    kills: Mapping[str, int] = field(default_factory=dict)
    """How often each part was killed in the round."""
    harms: Mapping[str, int] = field(default_factory=dict)
    """How often each harm was done in the round."""
    revocations: int = 0
    outages: int = 0
    """Temporary faults of the whole source."""

    status: Row = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    """For each available document: the hash of the file at its link, or the error."""
    listings: int = 0
    """Successful requests for the case's detail."""

    jobs: Sequence[Row] = ()
    rows: Sequence[Row] = ()
    subscriptions: Sequence[Row] = ()
    deliveries: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    open_keys: int = 0
    """Idempotency keys without an answer."""

    keys: frozenset[str] = frozenset()
    """The keys that S3 lists under the case's prefix."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the store's files of the case, by name."""
    manifest: Row = field(default_factory=dict)
    spooled: Sequence[str] = ()
    """Files left in the worker's spool."""
    running: Sequence[str] = ()
    """Workflows of the case that have not ended, with their pending activities."""
    received: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Received webhooks, by the receiver's URL."""
    complaints: Sequence[str] = ()
    """Defects that the callers saw."""

    def killed(self, *parts: str) -> int:
        """How often these parts were killed."""
        return sum(self.kills.get(part, 0) for part in parts)

    @property
    def harmed(self) -> int:
        """How often work in progress may have been lost by harms."""
        return sum(_LOSSES.get(name, 1) * times for name, times in self.harms.items())


def with_requests(documents: Sequence[KnownDocument], log: Sequence[Row]) -> list[KnownDocument]:
    """The documents with their requests in the sandbox's log."""
    clean: Counter[str] = Counter()
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
            clean[uuid] += 1
    return [
        KnownDocument(
            document.uuid,
            document.copies,
            document.sha256,
            document.size,
            clean[document.uuid],
            Strikes(tuple(struck.get(document.uuid, ()))),
        )
        for document in documents
    ]
