"""Counts of Temporal history: what a job costs the Temporal server, independent of the machine."""

from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client


@dataclass(frozen=True, slots=True)
class HistoryCount:
    """Events and workflow tasks of a workflow with everything that it started."""

    events: int = 0
    workflow_tasks: int = 0

    def __add__(self, other: "HistoryCount") -> "HistoryCount":
        return HistoryCount(self.events + other.events, self.workflow_tasks + other.workflow_tasks)


async def count_history(client: Client, workflow_id: str, run_id: str) -> HistoryCount:
    """Count a run, the runs that continued it, and its child workflows."""
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    total = HistoryCount(
        len(history.events),
        sum(
            event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
            for event in history.events
        ),
    )
    for event in history.events:
        if event.HasField("child_workflow_execution_started_event_attributes"):
            started = event.child_workflow_execution_started_event_attributes
            child = started.workflow_execution
            total += await count_history(client, child.workflow_id, child.run_id)
        elif event.HasField("workflow_execution_continued_as_new_event_attributes"):
            continued = event.workflow_execution_continued_as_new_event_attributes
            total += await count_history(client, workflow_id, continued.new_execution_run_id)
    return total
