"""No network call is awaited while a database transaction is open.

A transaction holds a connection of a small pool, and often row locks. A slow source, store or
receiver must hold neither. So inside a transaction every `await` has to act on the session: the
session is the receiver of the awaited call, or one of its arguments. The same holds inside every
function that takes a session, because it runs in its caller's transaction.

Does not see a synchronous call that blocks on the network.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("activities", "api", "autos", "worker")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def violations(source: str) -> list[int]:
    """The lines on which a module awaits something else than its session in a transaction."""
    tree = ast.parse(source)
    wrappers = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and _yields_in_transaction(node)
    }
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            inside, session = _inside_transaction(node, wrappers)
            found.update(_foreign_awaits(inside, session))
        elif isinstance(node, ast.AsyncFunctionDef) and (session := _session_argument(node)):
            found.update(_foreign_awaits(node.body, session))
    return sorted(found)


def _inside_transaction(
    node: ast.AsyncWith, wrappers: Iterable[str]
) -> tuple[list[ast.AST], str | None]:
    """The statements inside the transaction that the statement opens, and the session's name."""
    for place, item in enumerate(node.items):
        if _opens_transaction(item.context_expr, wrappers):
            name = item.optional_vars
            later = [after.context_expr for after in node.items[place + 1 :]]
            entered = [ast.copy_location(ast.Await(one), one) for one in later]
            return [*entered, *node.body], name.id if isinstance(name, ast.Name) else None
    return [], None


def _opens_transaction(expression: ast.expr, wrappers: Iterable[str]) -> bool:
    if not isinstance(expression, ast.Call):
        return False
    function = expression.func
    if isinstance(function, ast.Attribute):
        return function.attr == "transaction"
    return isinstance(function, ast.Name) and function.id in wrappers


def _yields_in_transaction(function: ast.AsyncFunctionDef) -> bool:
    """True for a context manager whose block runs in a transaction that it opens."""
    return any(
        isinstance(inner, ast.Yield)
        for statement in ast.walk(function)
        if isinstance(statement, ast.AsyncWith)
        for inside in _inside_transaction(statement, ())[0]
        for inner in ast.walk(inside)
    )


def _session_argument(function: ast.AsyncFunctionDef) -> str | None:
    arguments = function.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.arg == "session" or (
            argument.annotation is not None and ast.unparse(argument.annotation) == "AsyncSession"
        ):
            return argument.arg
    return None


def _foreign_awaits(nodes: Iterable[ast.AST], session: str | None) -> Iterator[int]:
    for node in nodes:
        for awaited in _awaited(node):
            if not _acts_on(awaited, session):
                yield awaited.lineno


def _awaited(node: ast.AST) -> Iterator[ast.expr]:
    """Every expression that is awaited when the node runs; not what a nested function awaits."""
    if isinstance(node, Function | ast.Lambda):
        return
    if isinstance(node, ast.Await):
        yield node.value
    elif isinstance(node, ast.AsyncFor) or (isinstance(node, ast.comprehension) and node.is_async):
        yield node.iter
    elif isinstance(node, ast.AsyncWith):
        yield from (item.context_expr for item in node.items)
    for child in ast.iter_child_nodes(node):
        yield from _awaited(child)


def _acts_on(expression: ast.expr, session: str | None) -> bool:
    """True for the session, and for a call or an attribute of something that acts on it."""
    match expression:
        case ast.Name(name):
            return name == session
        case ast.Attribute(receiver) | ast.Await(receiver):
            return _acts_on(receiver, session)
        case ast.Call(function, arguments, keywords):
            given = (*arguments, *(keyword.value for keyword in keywords))
            names = {argument.id for argument in given if isinstance(argument, ast.Name)}
            return session in names or _acts_on(function, session)
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_session_is_awaited_in_a_transaction(path: Path) -> None:
    assert violations(path.read_text()) == []


@pytest.mark.parametrize(
    "body",
    [
        "await session.execute(query)",
        "await jobs.get(session, job_id)",
        "await jobs.get(job_id, session=session)",
        "(await session.scalars(query)).all()",
        "await (await session.connection()).execute(statement)",
        "async for row in await session.stream(query): row.name",
    ],
)
def test_calls_on_the_session_may_be_awaited(body: str) -> None:
    assert violations(f"async def f():\n async with db.transaction() as session:\n  {body}") == []


@pytest.mark.parametrize(
    "source",
    [
        # In the block, in the middle of an expression, and in a statement of the block.
        "async def f():\n async with db.transaction() as session:\n  await store.head(key)",
        "async def f():\n async with db.transaction() as s:\n  x = [await g(s), await h(key)]",
        "async def f():\n async with db.transaction() as s:\n  async for x in http.lines(): x",
        "async def f():\n async with db.transaction() as s:\n  async with http.get(url): pass",
        "async def f():\n async with db.transaction() as s:\n  [x async for x in http.lines()]",
        # A session that is only part of an argument is not what the call acts on.
        "async def f():\n async with db.transaction() as s:\n  await http.get(g(s))",
        # Entered after the transaction.
        "async def f():\n async with db.transaction() as s, \\\n  http.get(url): pass",
        # Without a session nothing can act on it.
        "async def f():\n async with db.transaction():\n  await g(session)",
        # In a function that its callers run in their transactions.
        "async def f(session, store):\n await g(session)\n await store.head(key)",
        "async def f(store, held: AsyncSession):\n await g(held)\n await store.head(key)",
        # In the block of a context manager that yields in its transaction.
        "async def f():\n async with db.transaction() as s:\n  yield s\n"
        "async def g():\n async with f() as s:\n  await store.head(key)",
    ],
)
def test_other_awaits_in_a_transaction_are_found(source: str) -> None:
    assert violations(source) == [source.count("\n") + 1]


def test_awaits_of_a_nested_function_are_ignored() -> None:
    source = (
        "async def f():\n async with db.transaction() as session:\n"
        "  async def later():\n   await http.get(url)\n"
        " await later()"
    )
    assert violations(source) == []
