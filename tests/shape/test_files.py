"""Every file says what it touches, stays small, and lives in a folder with a real name."""

import ast

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


def functions(source: Source) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_every_file_says_what_it_touches() -> None:
    wrong = []
    for source in sources():
        touches = source.docstring.rpartition("\n\n")[2]
        if not (touches.startswith("Touches: ") and touches.endswith(".")):
            wrong.append(f"{source.name}: end the docstring with: Touches: what.")
        if source.name.startswith(RULES) and not touches.startswith("Touches: nothing"):
            wrong.append(f"{source.name}: rules and the protocol touch nothing")
        if touches.startswith("Touches: nothing") and TOUCHING.intersection(source.imports()):
            wrong.append(f"{source.name}: it imports something that touches the world")
    assert wrong == []


def test_files_and_functions_stay_small() -> None:
    wrong = []
    for source in sources():
        if len(source.text.splitlines()) > LINES_MAX:
            wrong.append(f"{source.name}: two files with better names would be clearer")
        for function in functions(source):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                wrong.append(f"{source.name}: {function.name} is {length} lines long")
    assert wrong == []


def test_functions_take_few_parameters() -> None:
    wrong = []
    for source in sources():
        if source.name.startswith("cli/"):
            continue  # a command's parameters are its options: a person's interface, not a function's
        for function in functions(source):
            taken = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            count = len([argument for argument in taken if argument.arg not in ("self", "cls")])
            if count > PARAMETERS_MAX:
                wrong.append(f"{source.name}: {function.name} takes {count}: make a struct, or two objects")
    assert wrong == []


def test_only_entries_read_environment_and_arguments() -> None:
    forbidden = {("os", "environ"), ("os", "getenv"), ("sys", "argv")}
    wrong = [
        f"{source.name}: {node.value.id}.{node.attr}"
        for source in sources()
        if not source.name.startswith("cli/") and not source.name.endswith("/main.py")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in forbidden
    ]
    assert wrong == []


def test_folders_have_names_that_say_something() -> None:
    names = {path.stem for path in SOURCE.rglob("*") if path.is_dir() or path.suffix == ".py"}
    nouns = {path.stem for path in (SOURCE / "cli").glob("*.py")}  # named by what people type: `mesh models`
    assert not (names - nouns) & BANNED_NAMES
