"""What every job is asked with: where it may go, what its device must have, what it may cost, and whether it waits.

Touches: the agent's control socket.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mesh.cli import here
from mesh.cli.output import Out, foreign
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.protocol.values import Need, Routing
    from mesh.sdk.control import AnyAnswer, Estimated, Waiting
    from mesh.sdk.home import Home

SILENCE_S_MAX = 900.0
"""The agent reports progress while a job runs; its own limits end a job long before this."""
PEERS_S = 10.0
GATES_SHOWN = 12
"""Devices whose gates are listed for people; --json has all."""
_TIER = re.compile(r"tier:([0-4])")
_BYTES = re.compile(r"(\d{1,6})(?:\.(\d))?\s*([KMGT])i?B?", re.IGNORECASE)
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}

Device = Annotated[str | None, typer.Option("--device", help="Run it there: a device's id or name.")]
Route = Annotated[str, typer.Option("--route", help="auto, local (prefer this LAN), tier:N (at least).")]
Sensitivity = Annotated[
    Literal["public", "private", "sensitive"], typer.Option("--sensitivity", help="How private the input is.")
]
MaxCost = Annotated[
    int | None, typer.Option("--max-cost", min=0, help="The most to pay in all, in micro-credits, as `charge` is.")
]
Limit = Annotated[str, typer.Option("--limit", help="The longest that it may run, such as 90s or 10m.")]
Tier = Annotated[int, typer.Option("--tier", min=0, max=4, help="At least this class of hardware, 0 to 4.")]
Gpu = Annotated[bool, typer.Option("--gpu", help="Only on a device with a GPU.")]
Memory = Annotated[str | None, typer.Option("--memory", help="Only with so much memory free, such as 4GiB.")]
Latency = Annotated[
    float | None, typer.Option("--latency", min=0.001, help="Only where the first result is expected in so many s.")
]
Tag = Annotated[list[str] | None, typer.Option("--tag", help="Only on devices with this tag; repeatable.")]
Wait = Annotated[bool, typer.Option("--wait", help="With nowhere to run: wait for a device, saying why meanwhile.")]
EstimateOnly = Annotated[bool, typer.Option("--estimate", help="Say what it would cost and where it would go.")]


class BadRoute(MeshError):
    """A route is auto, local, or tier:0 to tier:4. To name a device use --device."""

    code = "usage.route"
    kind = "invalid"


class BadMemory(MeshError):
    """An amount of memory is written as a number and KiB, MiB, GiB or TiB, for example 4GiB or 1.5GiB."""

    code = "usage.memory"
    kind = "invalid"


class Asked(NamedTuple):
    """The options of one job, as they were typed."""

    device: Device = None
    route: Route = "auto"
    sensitivity: Sensitivity = "private"
    max_cost: MaxCost = None
    limit: Limit = "10m"
    tier: Tier = 0
    gpu: Gpu = False
    memory: Memory = None
    latency: Latency = None
    tag: Tag = None
    wait: Wait = False
    estimate: EstimateOnly = False

    def need(self) -> "Need":
        """What the device must have. Raises BadMemory."""
        from mesh.protocol.values import Need

        memory = 0 if self.memory is None else bytes_of(self.memory)
        return Need(self.tier, self.gpu, memory, tuple(self.tag or ()), self.latency)

    def fields(self, place: "Home") -> dict[str, Any]:
        """The fields that they stand for in a request to have something run.

        Raises BadRoute, UnknownDevice, BadSpan, BadMemory.
        """
        return {
            "sensitivity": self.sensitivity,
            "routing": routing(place, self.device, self.route),
            "max_cost": self.max_cost,
            "limit_s": here.span_s(self.limit),
            "need": self.need(),
            "wait": self.wait,
        }


def bytes_of(text: str) -> int:
    """Bytes of an amount like ``4GiB``. Raises BadMemory."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise BadMemory
    return int((int(match[1]) + int(match[2] or 0) / 10) * 1024 ** _POWER[match[3].upper()])


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes all options of ``Asked``, which it gets together as ``options``, beside its own."""
    own = [one for one in inspect.signature(command).parameters.values() if one.name != "options"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=Asked._field_defaults[name], annotation=kind)
        for name, kind in Asked.__annotations__.items()
    ]

    def run(**typed: Any) -> None:
        options = Asked(**{name: typed.pop(name) for name in Asked._fields})
        command(**typed, options=options)

    every = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *shared]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {one.name: one.annotation for one in every}
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    return run


def perform(place: "Home", request: Any, out: Out, title: str) -> Iterator["AnyAnswer"]:
    """Have the agent do what is asked: say first what it will cost, show its progress, and give on all other answers.

    Once text comes there is no bar any more. Raises what it failed with.
    """
    from mesh.sdk import control

    if not out.as_json:
        with suppress(MeshError):  # what is wrong is wrong in a moment, too, and said then
            tell_cost(out, estimate(place, request), names_of(place))
    waiting = Waits(place, out)
    try:
        with ExitStack() as showing:
            show = showing.enter_context(out.progress(title))
            for answer in control.stream(place.control_socket, request, SILENCE_S_MAX):
                if isinstance(answer, control.Progress):
                    show(answer.stage, answer.fraction)
                elif isinstance(answer, control.Waiting):
                    waiting.tell(answer)
                    show(*_waits_for(answer.error))
                else:
                    if isinstance(answer, control.Begun):
                        showing.close()
                        show = _unseen
                    yield answer
    except MeshError as error:
        name_gates(place, error.facts.get("gates"), out)
        raise
    except KeyboardInterrupt:
        if waiting.said:
            out.note("\nNo longer waiting. Nothing was run, and nothing is charged.")
        raise


def _waits_for(error: dict[str, Any]) -> tuple[str, float, str]:
    """What a job waits for, as its progress: a model that is on its way, or any device at all."""
    coming = error.get("facts", {}).get("loading")
    if not isinstance(coming, dict):
        return "waiting for a device", 0.0, ""
    eta_s = coming.get("eta_s")
    left = f", about {_seconds(eta_s)} left" if isinstance(eta_s, int | float) else ""
    return f"waiting for the model ({coming.get('stage', 'loading')})", float(coming.get("percent", 0)) / 100, left


def _unseen(stage: str, fraction: float, left: str = "") -> None:
    """Once there is text, no bar."""


def estimate(place: "Home", request: Any) -> "Estimated":
    """What a job would cost and where it would go. Raises what the agent refuses with."""
    from mesh.sdk import control

    answer = control.ask(place.control_socket, control.Estimate(request), SILENCE_S_MAX)
    assert isinstance(answer, control.Estimated)
    return answer


def show_estimate(place: "Home", found: "Estimated", out: Out) -> None:
    """Print an estimate as the answer; nowhere to run is an error with its gates. Raises NowhereToRun."""
    from mesh.errors import from_wire

    if found.error is not None:
        error = from_wire(found.error)
        refused = [
            {"device": gate.device, "gate": gate.gate, "reason": gate.reason} for gate in found.explanation.refused
        ]
        error.facts.setdefault("gates", refused)
        name_gates(place, refused, out)
        raise error
    value = {"device": found.device, "cost": found.cost, "expected_s": round(found.expected_s, 3)}
    if found.tariff:
        value["tariff_version"] = found.tariff
    out.result(value, lambda: print(foreign(_estimated(found, names_of(place)))))


def tell_cost(out: Out, found: "Estimated", names: dict[str, str]) -> None:
    """Say beside the answer what a job will cost, if it can run."""
    if found.device is not None:
        out.note(foreign(_estimated(found, names)))


def _estimated(found: "Estimated", names: dict[str, str]) -> str:
    cost = f"at most {credits_text(found.cost)} credits" if found.cost else "nothing: it is your own device"
    soon = f" The first result should be there in about {_seconds(found.expected_s)}." if found.expected_s else ""
    return f"Best now: {names.get(found.device or '', found.device or '')}. It costs {cost}.{soon}"


def _seconds(span_s: float) -> str:
    if span_s < 1:
        return f"{max(1, round(span_s * 1000))} ms"
    return f"{span_s:.1f} s" if span_s < 90 else f"{span_s / 60:.0f} min"


class Waits:
    """Tells why a job waits, once for each reason."""

    def __init__(self, place: "Home", out: Out) -> None:
        self.said: tuple[Any, ...] = ()
        self._place = place
        self._out = out

    def tell(self, waiting: "Waiting") -> None:
        """Say the reason if it is another than before."""
        error = waiting.error
        gates = error.get("facts", {}).get("gates") or []
        now = (error.get("code"), *((gate["device"], gate["gate"]) for gate in gates))
        if now == self.said:
            return
        self.said = now
        what = "No device may run this yet." if gates else str(error.get("message", ""))
        self._out.note(foreign(f"{what} It waits; Ctrl-C ends that."))
        name_gates(self._place, gates, self._out)


def name_gates(place: "Home", gates: Any, out: Out) -> None:
    """Where a job had nowhere to run: say which gate each device failed, by name."""
    from mesh.cli.explained import reason

    if not isinstance(gates, list) or not gates:
        return
    names = names_of(place)
    for gate in gates[:GATES_SHOWN]:
        device = names.get(gate["device"], gate["device"])
        out.note(foreign(f"  {device}: {reason(gate['gate'], gate.get('reason') or '')}"))
    if len(gates) > GATES_SHOWN:
        out.note(f"  and {len(gates) - GATES_SHOWN} more")


def names_of(place: "Home") -> dict[str, str]:
    """What the devices that the agent knows are called, by id."""
    from mesh.sdk import control

    answer = control.ask(place.control_socket, control.GetPeers(), PEERS_S)
    return {one.device: one.name for one in answer.peers} if isinstance(answer, control.Peers) else {}


def routing(place: "Home", device: str | None, route: str) -> "Routing":
    """Read --device and --route. Raises BadRoute, UnknownDevice."""
    from mesh.protocol.values import Routing
    from mesh.sdk import control
    from mesh.sdk.naming import device_named

    if device is not None:
        answer = control.ask(place.control_socket, control.GetPeers(), PEERS_S)
        peers = answer.peers if isinstance(answer, control.Peers) else ()
        return Routing("device", device=device_named(peers, device))
    if route in ("auto", "local"):
        return Routing("auto" if route == "auto" else "local")
    tier = _TIER.fullmatch(route)
    if tier is None:
        raise BadRoute
    return Routing("tier", tier=int(tier[1]))
