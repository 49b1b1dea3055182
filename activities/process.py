"""Reads a process's metadata from the source and numbers its documents."""

from datetime import timedelta

from temporalio import activity

from autos.cnj import CaseNumber
from autos.contracts.download import FetchedProcess, FetchProcess, ProbedSource, ProbeSource
from autos.records import downloads, listings
from autos.records.database import Database
from autos.source import SourceClient, SourceRefused


class ProcessActivities:
    """Activities about a process as a whole."""

    def __init__(self, database: Database, source: SourceClient) -> None:
        self._database = database
        self._source = source

    @activity.defn
    async def fetch_process(self, request: FetchProcess) -> FetchedProcess:
        """Bring the list of documents up to date, unless the held copy is fresh enough."""
        number = CaseNumber.parse(request.process_number)
        max_age = timedelta(seconds=request.max_age_seconds)
        async with self._database.transaction() as session:
            await downloads.open_job(session, request.job_id, number)
            fresh = await listings.metadata_is_fresh(session, number.digits, max_age)
        if not fresh:
            try:
                listed = await self._source.process(number, urgent=request.urgent)
            except SourceRefused as refused:
                return FetchedProcess(
                    reason=refused.reason,
                    final=refused.final,
                    retry_after_seconds=refused.retry_after,
                )
            async with self._database.transaction() as session:
                await listings.save_listing(session, listed)
        async with self._database.transaction() as session:
            begun = await downloads.begin_documents(
                session, request.job_id, number.digits, again=request.again
            )
        return FetchedProcess(
            states=begun.states, bytes_stored=begun.bytes_stored, fetched_at=begun.fetched_at
        )

    @activity.defn
    async def probe_source(self, request: ProbeSource) -> ProbedSource:
        """Ask the source something cheap to learn whether it and the credential work."""
        number = CaseNumber.parse(request.process_number)
        refused = await self._source.probe(number, urgent=request.urgent)
        if refused is None:
            return ProbedSource()
        return ProbedSource(reason=refused.reason, retry_after_seconds=refused.retry_after)
