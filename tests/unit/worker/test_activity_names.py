"""Workflows call activities by name, for they may not import them: the names are the real ones."""

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
    """The names in the table of activities."""
    return {value.name for value in vars(activity_calls).values() if isinstance(value, Activity)}


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
