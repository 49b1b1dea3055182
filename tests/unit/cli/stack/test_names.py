"""The stack repeats two names so that `autos status` need not import Temporal; they must agree."""

from autos.contracts.temporal_names import JOBS_QUEUE, SEARCH_ATTRIBUTES
from cli.stack import servers


def test_the_stack_registers_every_search_attribute() -> None:
    known = [f"{key.name}={key.indexed_value_type.name.title()}" for key in SEARCH_ATTRIBUTES]
    assert sorted(servers._SEARCH_ATTRIBUTES) == sorted(known)


def test_a_worker_is_ready_when_it_polls_the_jobs_queue() -> None:
    assert servers.TASK_QUEUE == JOBS_QUEUE
