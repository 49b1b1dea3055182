"""Workflows call activities by name, for they may not import them: the names are the real ones."""

import ast
from pathlib import Path

from activities.documents import DocumentActivities
from activities.jobs import JobActivities
from activities.process import ProcessActivities
from activities.reconciliation.activities import ReconciliationActivities
from activities.webhooks import WebhookActivities

WORKFLOWS = Path(__file__).parents[3] / "workflows"
CALLERS = {"_ask_source", "_keep_records", "_deliver", "Call"}
ACTIVITIES = (
    DocumentActivities,
    JobActivities,
    ProcessActivities,
    ReconciliationActivities,
    WebhookActivities,
)


def called() -> set[str]:
    """The first arguments of the calls, where they are names and not passed on."""
    names = set()
    for path in WORKFLOWS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
                name = function.id if isinstance(function, ast.Name) else function
                first = node.args[0]
                if name in CALLERS and isinstance(first, ast.Constant):
                    names.add(str(first.value))
    return names


def defined() -> set[str]:
    """Every method that is an activity."""
    return {
        name
        for activities in ACTIVITIES
        for name, method in vars(activities).items()
        if hasattr(method, "__temporal_activity_definition")
    }


def test_every_activity_is_called_by_its_name_and_no_other_is() -> None:
    assert called() == defined()
