"""Names that the stack repeats to avoid an import of Temporal match the originals."""

from autos.contracts.temporal_names import JOBS_QUEUE, SEARCH_ATTRIBUTES
from cli.stack import servers


def test_stack_registers_every_search_attribute() -> None:
    known = [f"{key.name}={key.indexed_value_type.name.title()}" for key in SEARCH_ATTRIBUTES]
    assert sorted(servers._SEARCH_ATTRIBUTES) == sorted(known)


def test_worker_readiness_uses_the_jobs_queue() -> None:
    assert servers.TASK_QUEUE == JOBS_QUEUE
