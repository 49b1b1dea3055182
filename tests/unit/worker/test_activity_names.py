"""The activity names that workflows use are the registered ones."""

from activities.documents import DocumentActivities
from activities.jobs import JobActivities
from activities.process import ProcessActivities
from activities.reconciliation.pages import ReconciliationActivities
from activities.webhooks import WebhookActivities
from workflows import activity_calls
from workflows.activity_calls import Activity

ACTIVITIES = (
    DocumentActivities,
    JobActivities,
    ProcessActivities,
    ReconciliationActivities,
    WebhookActivities,
)


def called() -> set[str]:
    """The names declared in `workflows/activity_calls.py`."""
    return {value.name for value in vars(activity_calls).values() if isinstance(value, Activity)}


def defined() -> set[str]:
    """The names of all activity methods."""
    return {
        name
        for activities in ACTIVITIES
        for name, method in vars(activities).items()
        if hasattr(method, "__temporal_activity_definition")
    }


def test_declared_and_defined_activities_are_the_same() -> None:
    assert called() == defined()
