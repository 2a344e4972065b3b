"""What measured facts about the machine itself mean: home, disk, memory, models, engines, gateway.

Touches: nothing.
"""

from collections.abc import Iterator

from mesh.devices.facts import MachineFacts, ModelFacts
from mesh.devices.findings import Finding
from mesh.units import GIB, MIB

DISK_SPARE_BYTES = GIB
"""Beside the models, databases and logs grow, and a full disk stops them: below this it is said."""
MEMORY_SPARE_BYTES = 512 * MIB
"""One engine of the default model takes 220 MB with one lane, and 100 MB for each further one."""

ISOLATION_WORDS = {
    "strict": "it can open no sockets and no files but its model",
    "limited": "it runs with an empty environment and watched memory and time, but the system does not keep it from "
    "this user's files",
    "none": "nothing keeps it from this user's files",
}


def machine_findings(facts: MachineFacts) -> tuple[Finding, ...]:
    """Judge a check of the machine."""
    found = [*_home(facts), *_room(facts)]
    for model in facts.models:
        found += [*_model(model), *_engine(model)]
    return (*found, *_own_models(facts), *_set_aside(facts), *_gateway(facts), *_platform(facts))


def _home(facts: MachineFacts) -> Iterator[Finding]:
    if not facts.home_made:
        return
    if not facts.home_readable:
        yield Finding(
            "home.unreadable",
            "problem",
            f"home.json in {facts.home} is damaged or cannot be read, so no command knows its network.",
            "Restore it from a backup; or move it away and join again.",
        )
    if facts.permissions == "unchecked":
        yield Finding(
            "home.unchecked",
            "note",
            "Who may read the files of this home is not checked on this system.",
            f"Make sure that only you can open {facts.home}.",
        )
    elif not facts.exposed:
        yield Finding("home.private", "ok", "Only you can read this home's keys and records.")
    for one in facts.exposed:
        path = f"{facts.home}/{one.name}" if one.name else facts.home
        if one.foreign:
            yield Finding(
                "home.foreign",
                "problem",
                f"{path} belongs to another user of this machine, who can read and change it.",
                "Run Mesh as the user who owns the home, or give the home to this user (chown -R).",
            )
        else:
            yield Finding(
                "home.exposed",
                "problem",
                f"Other users of this machine can use {path} (mode {one.mode:04o}, should be {one.wanted:04o}).",
                f"Run: chmod {one.wanted:o} {path}    If others use this machine, remove this device and join anew.",
            )


def _room(facts: MachineFacts) -> Iterator[Finding]:
    missing = sum(model.size_bytes for model in facts.models if model.files != "good" and not model.own)
    free = f"{facts.disk_free_bytes / GIB:.1f} GiB are free"
    if facts.disk_free_bytes < missing:
        yield Finding(
            "disk.full",
            "problem",
            f"The disk has no room for the models that are to be fetched ({missing / MIB:.0f} MiB; {free}).",
            "Make room on the disk of the home.",
        )
    elif facts.disk_free_bytes < missing + DISK_SPARE_BYTES:
        yield Finding(
            "disk.low", "warning", f"The disk is nearly full: {free}.", "Make room on the disk of the home soon."
        )
    else:
        yield Finding("disk.room", "ok", f"The disk has room: {free}.")
    free = f"{facts.memory_free_bytes / GIB:.1f} of {facts.memory_bytes / GIB:.1f} GiB are free"
    if facts.memory_free_bytes < MEMORY_SPARE_BYTES:
        yield Finding(
            "memory.short",
            "warning",
            f"Memory is short: {free}. Engines may be stopped by the system in the middle of a job.",
            "Close other programs, or let this machine only ask: mesh up --only-ask",
        )
    else:
        yield Finding("memory.room", "ok", f"There is memory for engines: {free}.")


def _model(facts: ModelFacts) -> Iterator[Finding]:
    size = f"{facts.size_bytes / MIB:.0f} MiB"
    if facts.files == "good":
        yield Finding("model.good", "ok", f"The model {facts.model} is here, and every file has its hash.")
    elif facts.files == "missing":
        yield Finding(
            "model.missing",
            "note",
            f"The model {facts.model} ({size}) is not on this machine, so it does no {facts.workload} jobs.",
            f"To fetch it: mesh models pull {facts.model}",
        )
    elif facts.files == "damaged":
        yield Finding(
            "model.damaged",
            "problem",
            f"A file of the model {facts.model} is not what the catalogue names: damaged, or changed. It is never "
            "loaded like this.",
            f"Fetch it anew: mesh models pull {facts.model}    If it happens again, check the disk.",
        )
    else:
        yield Finding(
            "model.unread",
            "problem",
            f"The files of the model {facts.model} cannot be read.",
            "Correct the rights of the folder `models` in the home.",
        )


def _set_aside(facts: MachineFacts) -> Iterator[Finding]:
    if facts.set_aside:
        yield Finding(
            "reports.set_aside",
            "problem",
            f"The coordinator refuses {facts.set_aside} of this device's reports for good; they are set aside.",
            "Update Mesh here or there: the two do not understand each other. The agent's log has the reason.",
        )


def _own_models(facts: MachineFacts) -> Iterator[Finding]:
    for wrong in facts.wrong_models:
        yield Finding(
            "catalogue.wrong",
            "problem",
            f"An entry of {facts.home}/catalogue.json is left out. {wrong[:1].upper()}{wrong[1:]}.",
            "Correct it there; `mesh models list` says whether it is good now.",
        )


def _engine(facts: ModelFacts) -> Iterator[Finding]:
    if facts.engine == "untried":
        return
    if facts.engine == "failed":
        yield Finding(
            "engine.failed",
            "problem",
            f"The engine for {facts.workload} does not start with {facts.model} [{facts.code}].",
            f"Install Mesh with its engines (`pip install 'mesh[agent,{facts.workload}]'`), and check memory above.",
        )
        return
    how = "is loaded and works" if facts.engine == "warm" else "starts and loads its model"
    yield Finding("engine.works", "ok", f"The engine for {facts.workload} {how}.")
    if facts.isolation is not None:
        strict, none = facts.isolation == "strict", facts.isolation == "none"
        yield Finding(
            f"isolation.{facts.isolation}",
            "ok" if strict else "warning" if none else "note",
            f"An engine at work is confined {_degree(facts.isolation)}: {ISOLATION_WORDS[facts.isolation]}.",
            "" if strict else "Full confinement needs Linux 5.13 or newer with Landlock switched on.",
        )


def _degree(isolation: str) -> str:
    return {"strict": "strictly", "limited": "in part", "none": "not at all"}[isolation]


def _gateway(facts: MachineFacts) -> Iterator[Finding]:
    if facts.gateway == "answers":
        yield Finding("gateway.answers", "ok", f"The gateway for programs answers on port {facts.gateway_port}.")
    elif facts.gateway == "silent":
        yield Finding(
            "gateway.silent",
            "problem",
            f"The agent runs, but its gateway on port {facts.gateway_port} does not answer.",
            "Stop the agent with `mesh down` and start it with `mesh up`.",
        )
    elif facts.gateway == "taken":
        owner = facts.gateway_owner or "Another program"
        yield Finding(
            "gateway.taken",
            "problem",
            f"{owner} holds port {facts.gateway_port}, which is this home's gateway: `mesh up` will not start.",
            "Stop that program, or delete gateway.json in the home for a new port.",
        )
    elif facts.gateway == "free":
        yield Finding("gateway.free", "ok", f"The gateway's port {facts.gateway_port} is free for the agent.")


def _platform(facts: MachineFacts) -> Iterator[Finding]:
    if facts.system == "windows":
        yield Finding(
            "platform.unready",
            "warning",
            "`mesh up` does not run on Windows yet: the agent needs Unix sockets.",
            "Use the command line here, and run devices on Linux (also in WSL) or macOS.",
        )
    elif facts.system != "linux":
        yield Finding("platform.untested", "note", "Mesh is untested on this system.", "Please tell us how it went.")
