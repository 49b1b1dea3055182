"""Requests to the REST API.

`ApiClient` answers with the JSON that the API sent, for `--json`; `read` makes one of the API's own
models of it. A request is sent once: callers decide which errors are worth another attempt.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast, get_args

import httpx2
from pydantic import (
    BaseModel,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    create_model,
    field_validator,
)

from api.jobs.schemas import JobStarted
from autos.cnj import CaseNumber
from autos.retry_after import parse_retry_after
from cli.connection import Connection
from cli.terminal import CommandError

_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_PAGE: Final = 200
Model = TypeVar("Model", bound=BaseModel)
Json = dict[str, Any]


class Refused(CommandError):
    """The API answered with a problem (RFC 9457)."""

    def __init__(self, message: str, status: int, retry_after: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed soon."""
        return self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ApiClient:
    """The API at one address, with one key."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def start_download(
        self, number: CaseNumber, *, webhook_url: str | None = None, force_refresh: bool = False
    ) -> tuple[JobStarted, Json]:
        """Start the download of a process, or join the running job; the answer, and as sent."""
        body: Json = {"force_refresh": force_refresh}
        if webhook_url:
            body["webhook_url"] = webhook_url
        sent = await self.request("POST", f"/processes/{number.digits}/downloads", json=body)
        return read(JobStarted, sent), sent

    def documents(self, number: CaseNumber) -> AsyncIterator[Json]:
        """Every document of a process."""
        return self.items(f"/processes/{number.digits}/documents")

    async def items(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[Json]:
        """Every item of a list, page after page."""
        query: dict[str, str | int] = {"limit": _PAGE, **(params or {})}
        while True:
            page = read(_Page, await self.request("GET", path, params=query))
            for item in page.items:
                yield item
            if page.next is None:
                return
            query["cursor"] = page.next

    async def request(self, method: str, path: str, **options: Any) -> Json:
        """Send a request; the JSON of its answer. Arguments and errors are those of `send`.

        Raises:
            CommandError: the answer is not JSON.
        """
        return json_of(await self.send(method, path, **options))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Json | None = None,
    ) -> httpx2.Response:
        """Send a request below `/api/v1`; redirects are not followed.

        Raises:
            Refused: the API refuses it.
        """
        reply = await self.http.request(
            method, f"/api/v1{path}", params=params, headers=headers, json=json
        )
        if reply.is_error:
            raise refused(reply)
        return reply


@asynccontextmanager
async def open_client(
    connection: Connection, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[ApiClient]:
    """A client for the API at `connection`."""
    async with httpx2.AsyncClient(
        base_url=connection.url,
        headers={"Authorization": f"Bearer {connection.key}"},
        timeout=_TIMEOUT,
        transport=transport,
    ) as http:
        try:
            yield ApiClient(http)
        except httpx2.ConnectError as unreachable:
            raise CommandError(
                f"Nothing answers at {connection.url}. Start the embedded stack with `make up`, "
                "or give another address with --url."
            ) from unreachable


def read(model: type[Model], sent: Json) -> Model:
    """An answer as the API's model of it.

    Members that only a newer service knows are ignored. A value that only a newer service knows,
    such as a new `reason`, stays as it was sent; a new `status` is an error.

    Raises:
        CommandError: the answer does not fit the model.
    """
    try:
        return model.model_validate(sent)
    except ValidationError:
        pass
    try:
        return cast(Model, _tolerant(model).model_validate(sent))
    except ValidationError as unreadable:
        first = unreadable.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _unreadable(f"{where}: {first['msg']}") from unreadable


class _Tolerant(BaseModel):
    @field_validator("*", mode="wrap")
    @classmethod
    def _keep_unknown_values(
        cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            kinds = {detail["type"] for detail in error.errors()}
            if info.field_name == "status" or not kinds <= {"enum", "literal_error"}:
                raise
            item = next(iter(get_args(cls.model_fields[str(info.field_name)].annotation)), None)
            if isinstance(item, type) and issubclass(item, BaseModel):
                return [read(item, one) for one in value]
            return value


@cache
def _tolerant(model: type[BaseModel]) -> type[BaseModel]:
    return create_model(model.__name__, __base__=(_Tolerant, model))


class _Page(BaseModel):
    items: list[Json]
    next: str | None = None


class _Problem(BaseModel):
    """A refusal. A proxy in front of the API may answer with any other body."""

    title: str | None = None
    detail: str | None = None
    request_id: str | None = None
    errors: list[Json] | None = None


def json_of(reply: httpx2.Response) -> Json:
    """The JSON of an answer.

    Raises:
        CommandError: it is not a JSON object.
    """
    try:
        sent = reply.json()
    except ValueError as error:
        raise _unreadable(str(error)) from error
    if not isinstance(sent, dict):
        raise _unreadable("it is not a JSON object")
    return sent


def refused(reply: httpx2.Response) -> Refused:
    """The problem in an answer as an exception."""
    try:
        problem = _Problem.model_validate_json(reply.content)
    except ValidationError:
        problem = _Problem()
    title = problem.title or f"The service refused the request (HTTP {reply.status_code})"
    lines = [f"{title}: {problem.detail}" if problem.detail else f"{title}."]
    if problem.request_id:
        lines[0] += f" [request {problem.request_id}]"
    lines += [f"  {error.get('where')}: {error.get('message')}" for error in problem.errors or ()]
    return Refused(
        "\n".join(lines), reply.status_code, parse_retry_after(reply.headers.get("Retry-After"))
    )


def _unreadable(why: str) -> CommandError:
    return CommandError(
        f"The answer cannot be read ({why}). Is this the address of an Autos API, and is this "
        "command as new as the service? See `autos --version`."
    )
