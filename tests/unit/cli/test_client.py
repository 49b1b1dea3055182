"""Reading responses of newer services."""

import pytest

from api.jobs.schemas import JOB, Job
from api.reconciliations.schemas import Reconciliation
from api.webhooks.schemas import SecretState
from cli.client import parse
from cli.terminal import CommandError


def test_unknown_members_are_ignored() -> None:
    assert parse(Job, JOB | {"new": 1}) == parse(Job, JOB)


def test_unknown_values_are_kept() -> None:
    job = parse(Job, JOB | {"waiting_for": "the tide", "reason": "newer"})
    assert f"{job.waiting_for}, {job.reason}" == "the tide, newer"


def test_unknown_values_in_lists_are_kept() -> None:
    finding = {"kind": "newer", "found": 1, "mended": 0, "first": [], "more": 1}
    sent = {"id": "r1", "status": "completed", "findings": [finding], "unfinished": ["newer"]}
    found = parse(Reconciliation, sent)
    assert (f"{found.findings[0].kind}", found.unfinished) == ("newer", ["newer"])
    secret = {"scheme": "v2", "created_at": "2026-01-15T13:00:00Z", "expires_at": None}
    state = parse(SecretState, {"secrets": [secret], "public_keys": [], "overlap_seconds": 1})
    assert str(state.secrets[0].scheme) == "v2"


@pytest.mark.parametrize("wrong", [{"status": "newer"}, {"total_documents": "many"}])
def test_required_members_must_be_valid(wrong: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=f"cannot be read.*{next(iter(wrong))}"):
        parse(Job, JOB | wrong)
