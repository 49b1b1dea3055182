"""Requests to the REST API.

`ApiClient` returns the JSON of a response unchanged, for `--json`. `parse` converts it to a model
of the API. A request is sent once; callers decide which errors to retry.
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


class ApiError(CommandError):
    """The API returned an error, as problem details (RFC 9457)."""

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
        """Start the download of a process, or join its running job.

        Returns the response as a model and as the JSON that was received.
        """
        body: Json = {"force_refresh": force_refresh}
        if webhook_url:
            body["webhook_url"] = webhook_url
        payload = await self.request("POST", f"/processes/{number.digits}/downloads", json=body)
        return parse(JobStarted, payload), payload

    def documents(self, number: CaseNumber) -> AsyncIterator[Json]:
        """All documents of a process."""
        return self.items(f"/processes/{number.digits}/documents")

    async def items(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[Json]:
        """All items of a list, fetched page by page."""
        query: dict[str, str | int] = {"limit": _PAGE, **(params or {})}
        while True:
            page = parse(_Page, await self.request("GET", path, params=query))
            for item in page.items:
                yield item
            if page.next is None:
                return
            query["cursor"] = page.next

    async def request(self, method: str, path: str, **options: Any) -> Json:
        """Send a request and return the JSON of the response; takes the arguments of `send`.

        Raises:
            ApiError: the API returned an error.
            CommandError: the response is not a JSON object.
        """
        return json_object(await self.send(method, path, **options))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Json | None = None,
    ) -> httpx2.Response:
        """Send a request to a path below `/api/v1`; redirects are not followed.

        Raises:
            ApiError: the API returned an error.
        """
        response = await self.http.request(
            method, f"/api/v1{path}", params=params, headers=headers, json=json
        )
        if response.is_error:
            raise api_error(response)
        return response


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
        except httpx2.ConnectError as error:
            raise CommandError(
                f"No server responds at {connection.url}. Start the embedded stack with `make up`, "
                "or give another address with --url."
            ) from error


def parse(model: type[Model], payload: Json) -> Model:
    """Convert the JSON of a response to a model of the API.

    The service may be newer than this command. Unknown members are ignored, and an unknown value of
    an enum, such as a new `reason`, is kept as text. An unknown `status` is an error.

    Raises:
        CommandError: the JSON does not fit the model.
    """
    try:
        return model.model_validate(payload)
    except ValidationError:
        pass
    try:
        return cast(Model, _tolerant(model).model_validate(payload))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(str(part) for part in first["loc"])
        raise _invalid_response(f"{location}: {first['msg']}") from error


class _Tolerant(BaseModel):
    @field_validator("*", mode="wrap")
    @classmethod
    def _keep_unknown_values(
        cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            error_types = {detail["type"] for detail in error.errors()}
            if info.field_name == "status" or not error_types <= {"enum", "literal_error"}:
                raise
            annotation = cls.model_fields[str(info.field_name)].annotation
            item_type = next(iter(get_args(annotation)), None)
            if isinstance(item_type, type) and issubclass(item_type, BaseModel):
                return [parse(item_type, item) for item in value]
            return value


@cache
def _tolerant(model: type[BaseModel]) -> type[BaseModel]:
    return create_model(model.__name__, __base__=(_Tolerant, model))


class _Page(BaseModel):
    items: list[Json]
    next: str | None = None


class _Problem(BaseModel):
    """Problem details. A proxy in front of the API may send any other body."""

    title: str | None = None
    detail: str | None = None
    request_id: str | None = None
    errors: list[Json] | None = None


def json_object(response: httpx2.Response) -> Json:
    """The JSON of a response.

    Raises:
        CommandError: it is not a JSON object.
    """
    try:
        payload = response.json()
    except ValueError as error:
        raise _invalid_response(str(error)) from error
    if not isinstance(payload, dict):
        raise _invalid_response("it is not a JSON object")
    return payload


def api_error(response: httpx2.Response) -> ApiError:
    """The exception for an error response."""
    try:
        problem = _Problem.model_validate_json(response.content)
    except ValidationError:
        problem = _Problem()
    title = problem.title or f"The service refused the request (HTTP {response.status_code})"
    lines = [f"{title}: {problem.detail}" if problem.detail else f"{title}."]
    if problem.request_id:
        lines[0] += f" [request {problem.request_id}]"
    lines += [f"  {error.get('where')}: {error.get('message')}" for error in problem.errors or ()]
    retry_after = parse_retry_after(response.headers.get("Retry-After"))
    return ApiError("\n".join(lines), response.status_code, retry_after)


def _invalid_response(reason: str) -> CommandError:
    return CommandError(
        f"The response cannot be read ({reason}). Is this the address of an Autos API, and is this "
        "command as new as the service? See `autos --version`."
    )
