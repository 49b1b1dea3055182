"""SIGKILL of each part during jobs: every guarantee holds (`tests/drills`).

Runs the short fixed set; `make drills` runs any number of seeded rounds.
"""

import httpx2
import pytest

from cli.stack import Stack
from tests.drills.plan import FIXED, Fault, Round
from tests.drills.play import Player
from tests.e2e.clients import Sandbox


@pytest.mark.parametrize("plan", FIXED, ids=lambda plan: "; ".join(map(str, plan.actions)))
async def test_killed_parts_lose_duplicate_and_block_nothing(
    plan: Round, stack: Stack, http: httpx2.AsyncClient, sandbox: Sandbox
) -> None:
    """F5: the same documents, the same hashes, one event id."""
    result = await Player(stack, http).play(plan)
    assert [str(finding) for finding in result.findings] == []
    faults = [action for action in plan.actions if isinstance(action, Fault)]
    # Otherwise the round had no fault and proves nothing.
    assert result.struck == sum(int(str(fault.when["count"])) for fault in faults)
