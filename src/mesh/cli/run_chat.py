"""`mesh run chat`: ask a chat model, and see the answer while it is written.

Touches: files (a schema), the agent's control socket, processes (a requester for one command, where no agent runs),
stdout, stderr.
"""

import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli import asking, here
from mesh.cli.agent import agent_for
from mesh.cli.output import Json, Out, foreign, line
from mesh.cli.run import NoSuchFile
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.sdk.control import Begun, Joined, Ran, Run
    from mesh.sdk.home import Home

FILE_BYTES_MAX = 64 * 1024


class BadSchemaFile(MeshError):
    """The schema's file holds no JSON object. Correct it, or leave --schema out."""

    code = "usage.schema"
    kind = "invalid"


@asking.takes_options
def chat(
    message: Annotated[str, typer.Option("--message", help="What you ask.")],
    system: Annotated[str | None, typer.Option("--system", help="How the model is to answer.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A model's id; `mesh models list` shows them.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="How long the answer may be (512).")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="0: always the likeliest word.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed gives the same choice of words.")] = None,
    stop: Annotated[list[str] | None, typer.Option("--stop", help="End before this text; any number of times.")] = None,
    schema: Annotated[Path | None, typer.Option("--schema", help="Answer in JSON that keeps to this schema.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="If the answer breaks off, have another device go on with it, marked.")
    ] = False,
    options: asking.Asked = asking.Asked(),
    json: Json = False,
) -> None:
    """Ask a chat model. The answer appears as it is written; with --json as one object per line."""
    from mesh.sdk import control
    from mesh.workloads.chat import Chat, payload_of

    out, place = Out(json), here.home()
    asked = [*([("system", system)] if system else []), ("user", message)]
    kept_to = None if schema is None else _schema(schema)
    payload = payload_of(
        asked, max_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop or None, json=kept_to
    )
    Chat().check(payload)
    with agent_for(place, out):
        request = control.Run(
            workload="chat",
            manifest=payload.manifest,
            model=model,
            stream=True,
            resume=resume,
            **options.fields(place),
        )
        if options.estimate:
            asking.show_estimate(place, asking.estimate(place, request), out)
            return
        ran = _follow(place, request, out)
        name = "" if json else asking.names_of(place).get(ran.device, ran.device)
    out.result(_value(ran), lambda: _show(ran, name))


def add_to(run: typer.Typer) -> None:
    """Join it to `mesh run`."""
    run.command()(chat)


def _follow(place: "Home", request: "Run", out: Out) -> "Ran":
    """Have the agent run it, showing what comes when it comes. Raises what the job failed with."""
    from mesh.sdk import control

    said = False
    try:
        for answer in asking.perform(place, request, out, "chat"):
            if isinstance(answer, control.Begun) and out.as_json:
                line(_begun(answer))
            elif isinstance(answer, control.Said):
                said = True
                _say(answer.text, out)
            elif isinstance(answer, control.Joined):
                _join(answer, out)
            elif isinstance(answer, control.Ran):
                return answer
    except MeshError:
        if said and not out.as_json:
            print(flush=True)  # the error stands on a line of its own
        raise
    raise control.ControlBroken


def _begun(begun: "Begun") -> dict[str, Any]:
    where = {"job": begun.job, "device": begun.device, "path": begun.path}
    return {"event": "begun", **where, "estimate": begun.estimate, "model": begun.model}


def _join(join: "Joined", out: Out) -> None:
    if out.as_json:
        line({"event": "joined", **_where(join)})
    else:
        sys.stdout.flush()
        out.note("\n[It broke off there. Another device goes on:]")


def _where(join: "Joined") -> dict[str, Any]:
    left = {"after": join.after, "cause": join.cause, "charge": join.charge}
    return {"at": join.at, "job": join.job, "device": join.device, "path": join.path, **left}


def _say(text: str, out: Out) -> None:
    if out.as_json:
        line({"event": "text", "text": text})
    else:
        sys.stdout.write(spoken(text))
        sys.stdout.flush()


def spoken(text: str) -> str:
    """A model's text for a terminal: line ends and tabs stay, whatever else steers a terminal becomes ``?``."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else "?"
        for letter in text
    )


def _value(ran: "Ran") -> dict[str, Any]:
    manifest = ran.manifest
    prompt, answer = manifest["prompt_tokens"], manifest["tokens"]
    return {
        "event": "done",
        "job": ran.job,
        "device": ran.device,
        "path": ran.path,
        "charge": ran.charge,
        "units": ran.units,
        "model": ran.model,
        "attempts": ran.attempts,
        "joined": [_where(join) for join in ran.joined],
        "text": manifest["text"],
        "finish": manifest["finish"],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }


def _show(ran: "Ran", name: str) -> None:
    if not ran.manifest["text"].endswith("\n"):
        print()
    sys.stdout.flush()
    cost = f"{credits_text(ran.charge)} credits" if ran.charge else "nothing"
    cut = " It was cut at --max-tokens." if ran.manifest["finish"] == "length" else ""
    written = f"{ran.manifest['tokens']} tokens by {foreign(ran.model)} on {foreign(name)} ({ran.path})"
    print(f"{written}; it cost {cost}.{cut} Why there: mesh job why {ran.job}", file=sys.stderr, flush=True)


def _schema(file: Path) -> dict[str, Any]:
    """Read a JSON schema. Raises NoSuchFile, BadSchemaFile."""
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise NoSuchFile(f"{file} cannot be read: {error.strerror}.") from error
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadSchemaFile from error
