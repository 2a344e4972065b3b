"""Every file says what it touches, stays small, and lives in a folder with a real name."""

import ast

import pytest

from shape.sources import SOURCE, Source, sources

LINES_MAX = 400
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 6
RULES = ("credits/", "devices/", "networks/", "policies/", "jobs/", "protocol/")
# Importing one of these means touching the world: a file that claims "Touches: nothing" must not.
TOUCHING = {
    *("alembic", "httpx2", "iroh", "multiprocessing", "picows", "psutil", "random", "secrets", "shutil", "signal"),
    *("socket", "sqlite3", "sqlalchemy", "subprocess", "tempfile", "threading", "uvicorn", "websockets"),
}
# A folder by such a name soon holds everything.
BANNED_NAMES = {"utils", "util", "common", "core", "models", "services", "helpers", "helper", "managers", "manager"}

each = pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)


def functions(source: Source) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@each
def test_says_what_it_touches(source: Source) -> None:
    touches = source.docstring.rpartition("\n\n")[2]
    assert touches.startswith("Touches: ") and touches.endswith("."), "end the docstring with: Touches: what."
    if source.name.startswith(RULES):
        assert touches.startswith("Touches: nothing"), "rules and the protocol touch nothing"
    if touches.startswith("Touches: nothing"):
        assert not TOUCHING.intersection(source.imports()), "it imports something that touches the world"


@each
def test_stays_small(source: Source) -> None:
    assert len(source.text.splitlines()) <= LINES_MAX, "two files with better names would be clearer"
    for function in functions(source):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= FUNCTION_LINES_MAX, f"{function.name} is {length} lines long"


@each
def test_functions_take_few_parameters(source: Source) -> None:
    if source.name.startswith("cli/"):
        return  # a command's parameters are its options: a person's interface, not a function's
    for function in functions(source):
        taken = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        count = len([argument for argument in taken if argument.arg not in ("self", "cls")])
        assert count <= PARAMETERS_MAX, f"{function.name} takes {count}: make a struct, or two objects"


@each
def test_only_entries_read_environment_and_arguments(source: Source) -> None:
    if source.name.startswith("cli/") or source.name.endswith("/main.py"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("os", "environ"), ("os", "getenv"), ("sys", "argv")}


def test_folders_have_names_that_say_something() -> None:
    names = {path.stem for path in SOURCE.rglob("*") if path.is_dir() or path.suffix == ".py"}
    nouns = {path.stem for path in (SOURCE / "cli").glob("*.py")}  # named by what people type: `mesh models`
    assert not (names - nouns) & BANNED_NAMES
