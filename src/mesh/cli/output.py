"""What commands say: one JSON object on stdout, or words for people; errors with their code and next step.

Text that others chose (names, reasons, model output) is never read as markup and loses characters that steer terminals.

Touches: stdout, stderr, the system's time zone.
"""

import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import msgspec
import typer

from mesh.errors import KINDS, MeshError

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; people's text on stderr.")]
INTERRUPTED = 130
"""The shell's status for a command that the person stopped with Ctrl-C (128 + SIGINT)."""


TABLE_WIDTH = 400
"""Columns for a table that no terminal bounds."""


def foreign(text: str) -> str:
    """Text from others, fit for a terminal: control, bidirectional and other invisible characters become ``?``."""
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in text)


def day(at_ms: int | None) -> str:
    """The day of a moment in milliseconds since 1970, in this machine's time zone; nothing for None."""
    return "" if at_ms is None else time.strftime("%Y-%m-%d", time.localtime(at_ms / 1000))


def exit_code(error: MeshError) -> int:
    """The exit code of an error, by its kind."""
    return KINDS[error.wire_kind].exit_code


def line(value: Any) -> None:
    """Print a value as one line of JSON on stdout."""
    print(msgspec.json.encode(value).decode(), flush=True)


class Show(Protocol):
    """Shows how far something is: its stage, the fraction done, and words about what is left."""

    def __call__(self, stage: str, fraction: float, left: str = "") -> None:
        """It is so far."""


class Out:
    """Where one command's answer goes."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, value: Any, people: Callable[[], None] | str) -> None:
        """Give the answer: ``value`` as one line of JSON, or ``people`` (words, or a function that prints them)."""
        if self.as_json:
            line(value)
        elif isinstance(people, str):
            print(people, flush=True)
        else:
            people()

    def qr(self, text: str) -> None:
        """Show a text as a QR code for another machine's camera: at a terminal only, never among JSON."""
        if not self.as_json and sys.stdout.isatty():
            import segno

            segno.make(text, error="l", micro=False).terminal(out=sys.stdout, compact=True)

    def note(self, text: str) -> None:
        """Say something beside the answer."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Show]:
        """Show how far something long is, on stderr: call with a stage, a fraction (0 to 1), and what is left of it."""
        if not sys.stderr.isatty():
            with _lines(title) as show:
                yield show
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(foreign(title), total=1.0)

            def show(stage: str, fraction: float, left: str = "") -> None:
                bar.update(task, completed=fraction, description=foreign(f"{title}: {stage}{left}"))

            yield show


@contextmanager
def _lines(title: str) -> Iterator[Show]:
    """Progress without a terminal: a line per stage and per tenth, so that a log shows life and stays short."""
    seen: set[tuple[str, int]] = set()

    def show(stage: str, fraction: float, left: str = "") -> None:
        mark = (stage, int(fraction * 10))
        if mark not in seen:
            seen.add(mark)
            print(f"{foreign(title)}: {foreign(stage)} {fraction:.0%}{foreign(left)}", file=sys.stderr, flush=True)

    yield show


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "Nothing yet.") -> None:
    """Print a table for people; cells are foreign text. Numbers align right by starting their column with ``#``."""
    listed = [tuple(foreign(cell) for cell in row) for row in rows]
    if not listed:
        print(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        shown.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left")
    for row in listed:
        shown.add_row(*(Text(cell) for cell in row))
    if sys.stdout.isatty():
        Console().print(shown)
        return
    console = Console(width=TABLE_WIDTH)  # for files and pipes: no cell is cut, no line ends in blanks
    with console.capture() as captured:
        console.print(shown)
    print("\n".join(row.rstrip() for row in captured.get().splitlines()))


def show_error(error: MeshError, as_json: bool) -> None:
    """Print an error: with ``--json`` as an object on stdout, always as words on stderr."""
    if as_json:
        line({"error": error.wire()})
    print(f"mesh: {foreign(error.message)} [{foreign(error.wire_code)}]", file=sys.stderr, flush=True)
