"""Whoever should not get in does not, and learns why."""

import json
from collections.abc import Iterator

import pytest

from mesh.cli.stage import Outcome
from mesh.errors import RemoteError
from mesh.ids import JobId, NetworkId
from mesh.sdk import calls
from mesh.sdk.client import AsyncCoordinator
from mesh.sdk.home import Home
from whole.network import Network, a_network, eventually


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("invites")) as made:
        yield made


def refused(outcome: Outcome, code: str, exit_code: int) -> None:
    assert outcome.value["error"]["code"] == code
    assert outcome.exit_code == exit_code
    assert code in outcome.said, "people see the code too"


def test_the_installation_is_claimed_once(network: Network) -> None:
    late = network.stage.player("late")
    refused(late.attempt("auth", "claim", "-", "--name", "Late", stdin=network.claim_link), "installation.claimed", 1)
    assert not (late.home / "home.json").exists(), "a failed claim leaves no trace"


def test_a_link_with_another_secret_is_unknown(network: Network) -> None:
    link = network.ada.mesh("device", "invite")["link"]
    head, _, fragment = link.partition("#v1.")
    forged = f"{head}#v1.{'A' * 43}{fragment[43:]}"
    refused(network.stage.player("m1").attempt("device", "join", forged, "--name", "m1"), "token.unknown", 1)
    refused(network.stage.player("m1").attempt("device", "join", link[:-10], "--name", "m1"), "link.invalid", 2)


def test_a_link_for_another_coordinator_key_is_refused(network: Network) -> None:
    link = network.ada.mesh("device", "invite")["link"]
    key = link.rpartition("#")[2].split(".")[2]
    other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # a sound key, nobody's here
    outcome = network.stage.player("m2").attempt("device", "join", link.replace(key, other), "--name", "m2")
    assert outcome.exit_code != 0 and not (network.stage.folder / "m2" / "home.json").exists()


def test_an_invite_ends(network: Network) -> None:
    minted = network.ada.mesh("device", "invite", "--expires", "1s")

    def ended() -> bool:
        tokens = network.ada.mesh("invite", "list")["tokens"]
        return any(one["token_id"] == minted["token"] and one["state"] == "expired" for one in tokens)

    eventually(ended, "the invite expires")
    outcome = network.stage.player("m3").attempt("device", "join", minted["link"], "--name", "m3")
    refused(outcome, "token.expired", 1)


def test_an_invite_is_used_as_often_as_it_says(network: Network) -> None:
    link = network.ada.mesh("device", "invite", "--uses", "2")["link"]
    for name in ("m4", "m5"):
        assert network.stage.player(name).mesh("device", "join", link, "--name", name)["device"]
    refused(network.stage.player("m6").attempt("device", "join", link, "--name", "m6"), "token.used", 1)


def test_a_reusable_key_for_machines_that_come_and_go_tags_them(network: Network) -> None:
    minted = network.ada.mesh("device", "invite", "--reusable", "--ephemeral", "--tag", "ci", "--tag", "gpu")
    for name in ("runner-1", "runner-2", "runner-3"):
        network.stage.player(name).mesh("device", "join", "-", "--name", name, stdin=minted["link"])
    listed = [one for one in network.ada.mesh("device", "list")["devices"] if one["name"].startswith("runner-")]
    assert [(one["tags"], one["ephemeral"], one["state"]) for one in listed] == [(["ci", "gpu"], True, "offline")] * 3
    network.ada.mesh("invite", "revoke", minted["token"])
    outcome = network.stage.player("runner-4").attempt("device", "join", minted["link"], "--name", "runner-4")
    refused(outcome, "token.revoked", 1)
    assert len([one for one in network.ada.mesh("device", "list")["devices"] if "ci" in one["tags"]]) == 3


def test_a_network_may_ask_for_an_admins_approval_of_every_device(network: Network) -> None:
    cleo = network.person("cleo")
    assert network.ada.mesh("net", "settings", "--approve-devices", "on")["approve_devices"] is True
    refused(cleo.attempt("net", "settings", "--approve-devices", "off"), "members.not_allowed", 3)
    link = cleo.mesh("device", "invite")["link"]
    joined = network.stage.player("cleos").mesh("device", "join", "-", "--name", "cleos", stdin=link)
    assert joined["state"] == "pending"
    network.ada.mesh("device", "approve", "cleos")
    assert network.ada.mesh("net", "settings", "--approve-devices", "off")["approve_devices"] is False
    refused(network.ada.attempt("net", "settings", "--approve-devices", "maybe"), "usage.invalid", 2)


def test_a_revoked_invite_lets_nobody_in(network: Network) -> None:
    minted = network.ada.mesh("members", "invite", "--name", "Eve")
    network.ada.mesh("invite", "revoke", minted["token"])
    outcome = network.stage.player("eve").attempt("auth", "claim", minted["link"], "--name", "Eve")
    refused(outcome, "token.revoked", 1)


def test_a_persons_link_is_no_devices_link(network: Network) -> None:
    link = network.ada.mesh("members", "invite")["link"]
    outcome = network.stage.player("m7").attempt("device", "join", link, "--name", "m7")
    refused(outcome, "token.wrong_purpose", 2)


def test_an_invite_may_ask_for_approval(network: Network) -> None:
    link = network.ada.mesh("device", "invite", "--approve")["link"]
    joined = network.stage.player("m8").mesh("device", "join", link, "--name", "m8")
    assert joined["state"] == "pending"
    network.ada.mesh("device", "approve", joined["device"])
    states = {one["device"]: one["state"] for one in network.ada.mesh("device", "list")["devices"]}
    assert states[joined["device"]] == "offline"


def test_a_removed_device_is_gone_and_an_unknown_one_is_said_to_be(network: Network) -> None:
    link = network.ada.mesh("device", "invite")["link"]
    joined = network.stage.player("m9").mesh("device", "join", link, "--name", "m9")
    network.ada.mesh("device", "remove", joined["device"])
    refused(network.ada.attempt("device", "remove", "nobody"), "device.unknown", 1)


def test_a_member_may_not_do_what_admins_do(network: Network) -> None:
    ben = network.person("ben")
    refused(ben.attempt("members", "invite", "--role", "admin"), "members.not_allowed", 3)


def test_names_that_steer_terminals_are_refused_or_shown_plainly(network: Network) -> None:
    link = network.ada.mesh("device", "invite")["link"]
    outcome = network.stage.player("m10").attempt("device", "join", link, "--name", "[link=http://x]a")
    refused(outcome, "usage.name", 2)
    invite = network.ada.mesh("members", "invite")["link"]
    outcome = network.stage.player("esc").attempt("auth", "claim", invite, "--name", "a\x1b]0;b\x07")
    assert outcome.exit_code == 2 and "\x1b" not in outcome.said


def test_a_relay_joins_by_its_link_once_and_comes_back_without(network: Network) -> None:
    attic = network.stage.player("attic")
    refused(attic.attempt("relay", "--host", "127.0.0.1"), "relay.not_joined", 3)
    link = network.ada.mesh("invite", "relay")["link"]
    first = attic.start("relay", "--join", link, "--host", "127.0.0.1", "--port", "0")
    assert first.ready["relay"].startswith("http://127.0.0.1:") and first.stop() == 0
    again = attic.start("relay", "--host", "127.0.0.1", "--port", "0")
    assert again.ready["id"] == first.ready["id"] and again.stop() == 0


def test_who_is_signed_in_only_needs_up(network: Network) -> None:
    dora = network.person("dora")
    ready = dora.start("up", "--only-ask").ready
    owners = {one["device"]: one["owner"] for one in network.ada.mesh("device", "list")["devices"]}
    people = {one["name"]: one["member"] for one in network.ada.mesh("members", "list")["members"]}
    assert owners[ready["device"]] == people["Dora"]


def test_a_coordinator_that_is_away_is_said_to_be(network: Network) -> None:
    alone = network.stage.player("alone")
    alone.home.mkdir()
    known = json.loads((network.ada.home / "home.json").read_text())
    known["coordinator"]["url"] = "http://127.0.0.1:9"  # nobody listens at the discard port
    (alone.home / "home.json").write_text(json.dumps(known))
    refused(alone.attempt("device", "list"), "coordinator.unreachable", 5)


@pytest.mark.anyio
async def test_programs_may_speak_to_the_coordinator_without_waiting(network: Network) -> None:
    home = Home(network.ada.home)
    session = home.read().session
    assert session is not None
    async with await AsyncCoordinator.open(home.coordinator(), session.token) as client:
        assert (await client.do(calls.about())).key == home.coordinator().key
        assert network.id in {one.network for one in (await client.do(calls.networks())).networks}
        with pytest.raises(RemoteError) as refusal:
            await client.do(calls.job(NetworkId(network.id), JobId("nothing")))
    assert refusal.value.wire_code == "job.not_found"


def test_who_waits_for_an_admin_is_told_so_by_every_command_until_the_answer_is_there(network: Network) -> None:
    ada = network.ada
    link = ada.mesh("members", "invite", "--name", "Wanda", "--uses", "2", "--approve")["link"]
    wanda, wim = network.stage.player("waits-1"), network.stage.player("waits-2")
    claimed = wanda.mesh("auth", "claim", "-", "--name", "Wanda", stdin=link)
    assert (claimed["network"], claimed["state"]) == (network.id, "pending")
    refused(wanda.attempt("device", "invite"), "members.waits", 3)
    refused(wanda.attempt("members", "list"), "members.waits", 3)
    (asked,) = wanda.mesh("net", "list")["asked"]
    assert (asked["network"], asked["state"]) == (network.id, "pending")
    (waiting,) = ada.mesh("members", "list")["waiting"]
    assert (waiting["member"], waiting["invite_name"]) == (claimed["member"], "Wanda")
    assert ada.mesh("members", "approve", "Wanda") == {"member": claimed["member"], "state": "active"}
    assert ada.mesh("members", "list")["waiting"] == []
    assert wanda.mesh("device", "invite")["link"], "what she claimed is worth something now, with nothing more to do"
    late = ada.attempt("members", "refuse", claimed["member"], "--why", "too late")
    refused(late, "members.not_waiting", 1)
    assert late.value["error"]["facts"]["outcome"] == "approved"
    refused(ada.attempt("members", "approve", "Wanda"), "members.unknown_applicant", 1)

    other = wim.mesh("auth", "claim", "-", "--name", "Wim", stdin=link)["member"]
    ada.mesh("members", "refuse", "Wim", "--why", "Who are you?")
    (asked,) = wim.mesh("net", "list")["asked"]
    assert (asked["state"], asked["why"]) == ("refused", "Who are you?")
    refused(wim.attempt("net", "withdraw"), "network.which_request", 1)
    refused(wim.attempt("device", "invite"), "members.not_member", 1)
    fresh = ada.mesh("members", "invite", "--approve")["link"]
    again = wim.mesh("auth", "claim", "-", stdin=fresh)
    assert (again["member"], again["state"]) == (other, "pending")
    assert wim.mesh("net", "withdraw")["withdrawn"] is True
    assert ada.mesh("members", "list")["waiting"] == []
    ada.mesh("members", "remove", "Wanda")
