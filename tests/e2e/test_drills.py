"""Kill -9 of each part in the middle of jobs, and every promise holds (`tests/drills`).

The short fixed set; `make drills` plays as many seeded rounds as are asked for.
"""

import httpx2
import pytest

from cli.stack import Stack
from tests.drills.plan import FIXED, Fault, Round
from tests.drills.play import Player
from tests.e2e.clients import Sandbox


@pytest.mark.parametrize("plan", FIXED, ids=lambda plan: "; ".join(map(str, plan.deeds)))
async def test_nothing_is_lost_doubled_or_stuck(
    plan: Round, stack: Stack, http: httpx2.AsyncClient, sandbox: Sandbox
) -> None:
    """F5: the same documents, the same hashes, one event id."""
    result = await Player(stack, http).play(plan)
    assert [str(finding) for finding in result.findings] == []
    faults = [deed for deed in plan.deeds if isinstance(deed, Fault)]
    # Else the round would be a calm one and prove nothing.
    assert result.struck == sum(int(str(fault.when["count"])) for fault in faults)
