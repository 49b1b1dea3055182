"""Every fault once found between two parts of Autos has a test that names it in its docstring.

The table says what holds now. A name is a row of this table, and is used in tests only.
"""

import re
from typing import Final

import pytest

from tests.unit.test_failures_to_beat import names_in_docstrings

SEAMS: Final = {
    "S1": "A document that answers 401 puts itself in doubt, and no other document, job or court.",
    "S2": "A wrong body of a wrong size is not kept at sight; one that is kept says so.",
    "S3": "A refused token is refreshed once, however many documents refuse it.",
    "S4": "A document that trickles ends as too slow; the rest of its job does not wait for it.",
    "S5": "JSON nested too deep is an unreadable listing, and is asked for boundedly.",
    "S6": "The first 404 of a document is not believed, unless the source's own body says it.",
    "S7": "A compressed body that is cut short is truncated.",
    "S8": "Pages of logins, firewalls, proxies and errors are not documents, also without a size.",
    "S9": "Real files of the listed size and type are kept, whatever words are in them.",
    "S10": "A document fails only after every one of its copies was asked for.",
    "S11": "A redirect to a login is a credential refused; one among own hosts is followed once.",
    "S12": "A text in place of a missing file is marked wherever the document is shown.",
    "S13": "Broken metadata is that case's trouble and ends boundedly; a hit must be the number.",
    "S14": "A document without an address is asked for by its UUID; older shapes are read.",
    "S15": "Listings of the same document are merged; its order and charset are the source's.",
    "S16": "Our own outages are waits that show; a defect ends a job boundedly as internal_error.",
    "S17": "The bound on the source is reached and kept with many permits and workers.",
    "S18": "An error of the database does not stop those who wait for a permit.",
    "S19": "A database that answers nothing is noticed in bounded time.",
    "S20": "A full disk is a wait for storage of that document; nothing is fetched in vain.",
    "S21": "At a signal all queues stop at once, and one grace holds for all.",
    "S22": "Who has no key is refused before the body; bodies are bounded.",
    "S23": "Steering that cannot act is refused, and what it changes is visible at once.",
    "S24": "A waiting job's history is bounded; a request that changes nothing sends nothing.",
    "S25": "A wait costs a handful of events, however long it lasts.",
    "S26": "While Temporal is silent a status comes from the rows at once.",
    "S27": "The database URL takes libpq's TLS parameters.",
    "S28": "A waiting status request is woken by the change.",
    "S29": "Neither links nor manifests hold up the event loop.",
    "S30": "The time left is estimated from working time and the recent rate.",
    "S31": "A request that has nothing to do starts nothing and is announced once.",
    "S32": "Any HTTP answer is a reachable receiver; a private address is refused at once.",
    "S33": "The embedded stack takes no stranger's server for a part of its own.",
    "S34": "A refused credential is visible, and doctor looks at every part.",
    "S35": "The demo does not wait for ever for a credential.",
    "S36": "Numbers and times of a job agree wherever they are shown.",
    "S37": "Patience, nudges, claims, keys and retention hold between parts.",
    "S38": "What the documentation says of these parts is true.",
    "S39": "A credential that cannot be sent is refused when it is set.",
    "S40": "Lost database connections do not raise the requests in flight above the bound.",
    "S41": "Answers are as the API document says, also at the edge of the calendar.",
    "S42": "The embedded stack's files are its user's own, and a part gets the secrets it needs.",
    "S43": "Frozen workers, full spools and buckets, and hidden characters are dealt with.",
}

_NAME: Final = re.compile(r"\bS\d+\b")


@pytest.mark.parametrize("seam", SEAMS)
def test_a_test_names_the_seam(seam: str) -> None:
    assert names_in_docstrings(_NAME)[seam], f"No test's docstring names {seam}: {SEAMS[seam]}"


def test_no_test_names_a_seam_that_is_none() -> None:
    assert set(names_in_docstrings(_NAME)) <= SEAMS.keys()
