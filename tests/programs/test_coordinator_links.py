"""The links: who may speak, what presence means, and where a permit request leads."""

import asyncio

import msgspec
import pytest
from sqlalchemy import text

from coordinators import LAPTOP, NO_MODEL, START_MS, Clock, Joined, a_coordinator, a_job, an_id
from mesh.coordinator.store import devices
from mesh.devices.addresses import ADDRESSES_MAX
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate, LinkProof, Observed, State
from mesh.protocol.permit import START_WITHIN_S, Permit
from mesh.protocol.receipt import Claim, Failed, Submit, Used
from mesh.protocol.values import Condition, Load, Need, Routing
from waiting import LIMIT_S, until

pytestmark = pytest.mark.anyio


async def two_people(bench, **second):
    """Ann asks with a laptop that has no model; Bob's server has one. Both are linked."""
    ann = await bench.claim()
    network = await bench.network(ann)
    bob = await bench.sign_in(await bench.invite(network, ann, "member", **second), "Bob")
    laptop = await bench.device(network, ann, "laptop", NO_MODEL)
    server = await bench.device(network, bob, "server")
    return ann, bob, network, laptop, server


def gates_failed(answer):
    return {(gate.device, gate.gate) for gate in answer.explanation.gates if not gate.passed}


async def test_the_handshake_proves_both_sides_and_brings_all_that_a_device_must_hold(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, network, laptop, server = await two_people(bench)
        wire = bench.connect()
        challenge = await wire.hear()
        prove = bench.prove(challenge, laptop.id, laptop.seed)
        wire.say(prove)
        welcome = await wire.hear()
        proof = signed.verify(welcome.proof, LinkProof, bench.claim_link.coordinator, "")
        assert (proof.side, proof.device, proof.device_nonce) == ("coordinator", laptop.id, prove.nonce)
        assert (proof.coordinator_nonce, proof.binding) == (challenge.nonce, "http://mesh.test")
        state = signed.verify(welcome.state, State, laptop.answer["network_key"], network)
        assert (state.name, state.revoked) == ("home", ())
        assert (welcome.network, welcome.time_ms) == (network, bench.clock.now_ms)
        assert signed.verify(welcome.certificate, Certificate, state.network_keys[0].key, network).device == laptop.id
        peers = await wire.hear()
        assert peers.full and {signed.peek(one.certificate, Certificate).device for one in peers.certificates} == {
            laptop.id,
            server.id,
        }
        assert [own.device for own in peers.own] == [laptop.id]


@pytest.mark.parametrize(
    "changes",
    [
        {"binding": "http://evil.test"},
        {"coordinator_nonce": "00" * 32},
        {"device_nonce": "00" * 32},
        {"side": "coordinator"},
        {"network": "N"},
        {"coordinator": "00" * 32},
        {"device": "01M00000000000000000000000"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_proof_of_anything_else_is_refused(tmp_path, changes):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, _ = await two_people(bench)
        wire = bench.connect()
        wire.say(bench.prove(await wire.hear(), laptop.id, laptop.seed, **changes))
        problem = await wire.hear()
        assert problem.error["code"] == "link.proof_refused"
        assert await wire.hear() is None


async def test_a_challenge_passed_on_from_another_connection_is_worth_nothing(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, _ = await two_people(bench)
        first, second = bench.connect(), bench.connect()
        challenge = await first.hear()
        await second.hear()
        prove = bench.prove(challenge, laptop.id, laptop.seed)
        second.say(prove)
        assert (await second.hear()).error["code"] == "link.proof_refused"
        first.say(prove)
        assert isinstance(await first.hear(), link.Welcome)
        third = bench.connect()
        await third.hear()
        third.say(prove)
        assert (await third.hear()).error["code"] == "link.proof_refused"


async def test_strangers_of_one_address_that_say_nothing_keep_no_other_address_out(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, _ = await two_people(bench)
        silent = [bench.connect() for _ in range(64)]
        for wire in silent:
            assert isinstance(await wire.hear(), link.Challenge)
        assert (await bench.connect().hear()).error["code"] == "link.busy"
        elsewhere = bench.connect("127.0.0.2")
        elsewhere.say(bench.prove(await elsewhere.hear(), laptop.id, laptop.seed))
        assert isinstance(await elsewhere.hear(), link.Welcome)
        silent[0].hang_up()
        await until(lambda: bench.coordinator.app.links.strangers == 63)
        assert isinstance(await bench.connect().hear(), link.Challenge)


async def test_another_key_and_an_unknown_device_are_refused(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, server = await two_people(bench)
        for device, seed, code in (
            (laptop.id, server.seed, "link.proof_refused"),
            (an_id(), laptop.seed, "link.unknown_device"),
        ):
            wire = bench.connect()
            wire.say(bench.prove(await wire.hear(), device, seed))
            assert (await wire.hear()).error["code"] == code
            assert await wire.hear() is None


@pytest.mark.parametrize("word", [b"{}", b"[]", b'{"t":"beat","number":1,"condition":{}}', b" " * 5000])
async def test_whoever_does_not_begin_with_a_proof_is_not_heard(tmp_path, word):
    async with a_coordinator(tmp_path) as bench:
        wire = bench.connect()
        await wire.hear()
        wire.say(word)
        assert (await wire.hear()).error["code"] == "link.protocol"
        assert await wire.hear() is None


async def test_an_odd_message_later_is_answered_and_the_link_goes_on(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, _ = await two_people(bench)
        wire = await bench.linked(laptop)
        wire.say(b'{"t":"sing"}')
        assert (await wire.hear_a(link.Problem)).error["code"] == "link.protocol"
        assert (await bench.beat(wire)).time_ms == bench.clock.now_ms


async def test_a_beat_is_answered_with_the_time_and_silence_makes_offline(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, _ = await two_people(bench)
        path = f"/v1/networks/{network}/devices"

        async def state():
            return (await bench.get(path, ann)).json()["devices"][0]["state"]

        assert await state() == "offline"
        wire = await bench.linked(laptop)
        assert await state() == "ready"
        bench.clock.forward(20)
        assert await state() == "ready"
        bench.clock.forward(0.001)
        assert await state() == "offline"
        await bench.beat(wire, Condition(state="paused"))
        assert await state() == "paused"
        wire.hang_up()
        await until(lambda: bench.coordinator.live.of(laptop.id) is None)
        assert await state() == "offline"


async def test_another_persons_device_needs_a_permit_which_says_all_that_it_must(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, bob, network, laptop, server = await two_people(bench)
        asking, _ = await bench.linked(laptop), await bench.linked(server)
        request, job = an_id(), an_id()
        placed = await bench.ask(asking, a_job(300), request=request, job=job)
        permit = signed.verify(placed.permit, Permit, bench.claim_link.coordinator, network)
        assert (permit.request, permit.job, permit.payer, permit.requester) == (request, job, ann.member, laptop.id)
        assert (permit.requester_key, permit.role, permit.share) == (laptop.key, "admin", "one")
        assert [(c.device, c.key, c.owner, c.cap) for c in permit.candidates] == [
            (server.id, server.key, bob.member, 1110)
        ]
        assert permit.maximum == 1110 and (permit.price.micro, permit.price.per) == (3700, 1000)
        assert permit.start_by_ms == bench.clock.now_ms + START_WITHIN_S * 1000
        assert permit.finish_by_ms == permit.start_by_ms + 600_000
        assert [hint.device for hint in placed.hints] == [server.id]
        assert placed.explanation.chosen == server.id
        assert gates_failed(placed) == {(laptop.id, "model")}
        assert await bench.ask(asking, a_job(300), request=request, job=job) == placed
        held = (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["held"]
        assert held == 1110


async def test_an_address_that_a_device_only_claims_is_told_to_nobody(tmp_path):
    """Else whoever names a victim's address has every peer of the network knock there."""
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, server = await two_people(bench)
        asking, serving = await bench.linked(laptop), await bench.linked(server)
        victims = ("9.9.9.9:53", "[2606:4700::1111]:53")
        near = tuple(f"10.0.0.{number}:5" for number in range(1, 20))
        seen = Observed(network="", key=server.key, address="9.9.9.9:53", time_ms=bench.clock.now_ms)
        forged = signed.sign(seen, server.seed)  # an observer would have signed it
        serving.say(link.Hello("test", 1, addresses=(*victims, *near), observed=(forged, *victims)))
        await bench.beat(serving)
        placed = await bench.ask(asking)
        assert isinstance(placed, link.Placed)
        [hint] = [hint for hint in placed.hints if hint.device == server.id]
        assert set(hint.addresses) <= set(near) and len(hint.addresses) <= ADDRESSES_MAX
        for noun in ("devices", "members", "picture"):
            shown = (await bench.get(f"/v1/networks/{network}/{noun}", ann)).text
            assert not [one for one in (*victims, *near) if one in shown], "nor is any address in a list"


async def test_ones_own_device_needs_no_permit_and_holds_nothing(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, server = await two_people(bench)
        desktop = await bench.device(network, ann, "desktop")
        asking, _, _ = await bench.linked(laptop), await bench.linked(server), await bench.linked(desktop)
        placed = await bench.ask(asking)
        assert placed.permit is None and [hint.device for hint in placed.hints] == [desktop.id]
        assert (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["held"] == 0


@pytest.mark.parametrize(
    ("spec", "gate"),
    [
        (a_job(model="other"), "model"),
        (a_job(sensitivity="sensitive"), "policy"),
        (a_job(max_cost=1), "cost"),
        (a_job(need=Need(gpu=True)), "gpu"),
        (a_job(routing=Routing("tier", tier=4)), "routing"),
    ],
)
async def test_who_is_refused_is_told_the_gates_and_when_to_try_again(tmp_path, spec, gate):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, server = await two_people(bench)
        asking, _ = await bench.linked(laptop), await bench.linked(server)
        refused = await bench.ask(asking, spec)
        assert refused.error["code"] == "placement.nowhere" and refused.retry_after_s
        assert (server.id, gate) in gates_failed(refused)


async def test_devices_that_are_away_or_failed_this_job_are_passed_over(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, server = await two_people(bench)
        asking = await bench.linked(laptop)
        assert (server.id, "state") in gates_failed(await bench.ask(asking))
        await bench.linked(server)
        assert isinstance(await bench.ask(asking, exclude=(server.id,)), link.Refused)
        assert isinstance(await bench.ask(asking), link.Placed)


async def test_a_guests_jobs_are_paid_by_who_invited_them_and_carry_public_data_only(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, _, server = await two_people(bench)
        gil = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Gil")
        tablet = await bench.device(network, gil, "tablet", NO_MODEL)
        asking, _ = await bench.linked(tablet), await bench.linked(server)
        assert (server.id, "policy") in gates_failed(await bench.ask(asking, a_job()))
        placed = await bench.ask(asking, a_job(sensitivity="public"))
        permit = signed.peek(placed.permit, Permit)
        assert (permit.payer, permit.role) == (ann.member, "guest")
        assert (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["held"] == 1110


@pytest.mark.parametrize("odd", [{"request": "x"}, {"job": "x" * 26}, {"spec": a_job(-1)}, {"spec": a_job(limit_s=0)}])
async def test_an_impossible_request_is_refused_with_its_reason(tmp_path, odd):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, _ = await two_people(bench)
        answer = await bench.ask(await bench.linked(laptop), **odd)
        assert answer.error["code"] == "jobs.bad_spec"


async def test_a_device_cannot_fill_the_coordinator_with_what_it_says_of_itself(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, _, laptop, _ = await two_people(bench)
        wire = await bench.linked(laptop)
        wire.say(link.Hello("test", 1, msgspec.structs.replace(LAPTOP, offers=LAPTOP.offers * 65)))
        assert (await wire.hear_a(link.Problem)).error["code"] == "device.capability_refused"
        wire.say(link.Hello("x" * 70_000, 1))
        assert (await wire.hear_a(link.Problem)).error["code"] == "link.protocol"
        assert bench.coordinator.parts.snapshot.device(laptop.id).capability == NO_MODEL


async def test_a_database_that_is_full_permits_nothing_and_says_so_until_there_is_room(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, server = await two_people(bench)
        asking, _ = await bench.linked(laptop), await bench.linked(server)
        assert isinstance(await bench.ask(asking), link.Placed)

        async def pages(most):
            await bench.coordinator.parts.database.write(lambda store: store.run(text(f"pragma max_page_count={most}")))

        await pages(1)  # SQLite takes the pages that it has as the limit; the last ones have a little room
        answers = [await bench.ask(asking)]
        while isinstance(answers[-1], link.Placed):
            answers.append(await bench.ask(asking))
        assert answers[-1].error["code"] == "store.batch_lost" and answers[-1].retry_after_s
        await pages(2**30)
        assert isinstance(await bench.ask(asking), link.Placed)
        held = (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["held"]
        assert held == 1110 * (len(answers) + 1)  # the permits before, between and after; nothing for the refusal


async def test_under_a_strict_line_nobody_spends_what_they_have_not(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, server = await two_people(bench)
        asking, _ = await bench.linked(laptop), await bench.linked(server)
        strict = {"credit_line": "strict"}
        changed = await bench.http.put(f"/v1/networks/{network}/settings", json=strict, headers=ann.headers)
        assert changed.status_code == 200
        assert (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["free"] == 600_000_000
        assert isinstance(await bench.ask(asking), link.Placed)
        refused = await bench.ask(asking, a_job(170_000_000, limit_s=86_400.0))  # 629 credits; the allowance is 600
        assert (server.id, "credit") in gates_failed(refused)


async def test_a_pending_device_is_linked_but_runs_nothing_until_it_is_let_in(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, _, server = await two_people(bench)
        await bench.linked(server)
        waiting = await bench.join(await bench.invite(network, ann, approve=True), "tablet", NO_MODEL)
        wire = bench.connect()
        wire.say(bench.prove(await wire.hear(), waiting.id, waiting.seed))
        welcome = await wire.hear()
        assert (welcome.device_state, welcome.certificate, welcome.state) == ("pending", None, None)
        assert (await bench.ask(wire)).error["code"] == "device.pending"
        await bench.post(f"/v1/networks/{network}/devices/{waiting.id}/approve", {}, ann)
        assert (await wire.hear_a(link.CertificateUpdate)).certificate
        assert (await wire.hear_a(link.Peers)).full
        assert isinstance(await bench.ask(wire), link.Placed)


async def test_a_removed_device_is_told_cut_off_and_revoked_for_everybody(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, server = await two_people(bench)
        told = []
        bench.coordinator.admissions.join(told.append)
        staying, leaving = await bench.linked(laptop), await bench.linked(server)
        assert (await bench.delete(f"/v1/networks/{network}/devices/{server.id}", ann)).status_code == 200
        assert (await leaving.hear_a(link.Removed)).code == "device.removed"
        assert await leaving.hear() is None
        update = await staying.hear_a(link.StateUpdate)
        state = signed.verify(update.state, State, laptop.answer["network_key"], network)
        assert state.revoked == (server.key,)
        assert (await staying.hear_a(link.Peers)).gone == (server.id,)
        assert [(one.key, one.networks) for one in told[-1].admissions] == [(server.key, ())]
        assert (server.id, "member") not in gates_failed(await bench.ask(staying))
        wire = bench.connect()
        wire.say(bench.prove(await wire.hear(), server.id, server.seed))
        assert (await wire.hear()).error["code"] == "device.removed"


async def test_relays_are_told_of_whoever_joins_and_networks_never_share_a_number(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, _, laptop, server = await two_people(bench)
        told = []
        bench.coordinator.admissions.join(told.append)
        numbers = {one.key: one.networks for one in told[0].admissions}
        assert told[0].full and numbers[laptop.key] == numbers[server.key]
        stranger = await bench.device(await bench.network(ann, "other"), ann, "d")
        assert [one.key for one in told[-1].admissions] == [stranger.key]
        assert told[-1].admissions[0].networks != numbers[laptop.key]


async def test_a_relay_that_joins_hears_whom_to_admit_and_devices_hear_where_it_is(tmp_path):
    clock = Clock()
    async with a_coordinator(tmp_path, clock) as bench:
        ann, _, network, laptop, server = await two_people(bench)
        waiting = await bench.linked(laptop)
        invite = await bench.invite(network, ann, "relay")
        seed, answer = await bench.ask_to_join(invite, "relay-1")
        relay = Joined(answer.json()["device"], seed, answer.json())
        _, again = await bench.ask_to_join(invite, "relay-1", seed)
        assert again.json() == answer.json()
        wire = bench.connect()
        wire.say(bench.prove(await wire.hear(), relay.id, relay.seed))
        welcome = await wire.hear()
        assert (welcome.network, welcome.state, welcome.certificate) == ("", None, None)
        admissions = await wire.hear()
        assert admissions.full and {one.key for one in admissions.admissions} == {laptop.key, server.key}
        wire.say(link.Hello("test", 1, relay="http://192.0.2.7:3340"))
        state = signed.peek((await waiting.hear_a(link.StateUpdate)).state, State)
        assert [one.url for one in state.relays] == ["http://192.0.2.7:3340"]
        wire.say(link.PermitRequest(an_id(), an_id(), a_job()))
        assert (await wire.hear_a(link.Problem)).error["code"] == "link.not_a_device"
        desktop = await bench.device(network, ann, "desktop")
        assert [one.key for one in (await wire.hear_a(link.Admissions)).admissions] == [desktop.key]
    async with a_coordinator(tmp_path, clock) as bench:
        wire = bench.connect()
        wire.say(bench.prove(await wire.hear(), laptop.id, laptop.seed))
        state = signed.peek((await wire.hear()).state, State)
        assert [one.url for one in state.relays] == ["http://192.0.2.7:3340"]


async def test_the_same_device_again_replaces_its_older_link(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, _, network, laptop, _ = await two_people(bench)
        old = await bench.linked(laptop)
        new = await bench.linked(laptop)
        assert (await old.hear_a(link.Problem)).error["code"] == "link.replaced"
        assert await old.hear() is None
        assert (await bench.beat(new)).number == 1
        assert (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"][0]["state"] == "ready"


async def test_promised_work_sends_the_next_job_elsewhere_until_it_has_drained(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, bob, network, laptop, server = await two_people(bench)
        second = await bench.device(network, bob, "second")
        asking = await bench.linked(laptop)
        await bench.linked(server, Condition(load=Load(1, 4, 30.0)))
        await bench.linked(second)
        assert (await bench.ask(asking)).explanation.chosen == second.id
        await bench.ask(asking, a_job(27_000 * 60))  # a minute of work is promised to the second
        assert (await bench.ask(asking)).explanation.chosen == server.id
        bench.clock.forward(19)


async def test_facts_are_settled_before_they_are_acknowledged(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, bob, network, laptop, server = await two_people(bench)
        asking, working = await bench.linked(laptop), await bench.linked(server)
        job = an_id()
        placed = await bench.ask(asking, a_job(300), job=job)
        permit = signed.peek(placed.permit, Permit)
        about = {
            "network": network,
            "permit": permit.permit,
            "requester": laptop.id,
            "worker": server.id,
            "job": job,
            "attempt": 1,
        }
        submit = signed.sign(Submit(**about, input_digest="", maximum=1110, time_ms=START_MS), laptop.seed)
        claim = Claim(**about, units=300, outcome="done", output_digest="", started_ms=1, finished_ms=2, submit=submit)
        claimed = signed.sign(claim, server.seed)
        working.say(link.Report(7, (claimed,)))
        assert await working.hear_a(link.ReportAck) == link.ReportAck(7)
        used = signed.sign(Used(**about, units=300, claim=claimed), laptop.seed)
        forged = signed.sign(Failed(**about, reason="x"), server.seed)
        record = link.JobReport(job, a_job(300), (link.AttemptReport(server.id, 1, 1, 2, "direct"),), server.id, 300)
        for _ in range(2):  # a lost acknowledgement: the same batch comes again
            asking.say(link.Report(1, (used, forged), (record,)))
            assert await asking.hear_a(link.ReportAck) == link.ReportAck(1, (link.Reported(1, "token.invalid"),))
        assert (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["balance"] == -1110
        assert (await bench.get(f"/v1/networks/{network}/balance", bob)).json()["balance"] == 1110 - 55
        assert (await bench.get(f"/v1/networks/{network}/ledger/verify", bob)).json()["ok"] is True
        shown = (await bench.get(f"/v1/networks/{network}/jobs/{job}", ann)).json()
        assert (shown["state"], shown["charge"], shown["device"]) == ("done", 1110, server.id)
        assert [(attempt["worker"], attempt["path"]) for attempt in shown["attempts"]] == [(server.id, "direct")]
        assert (await bench.get(f"/v1/networks/{network}/jobs/{job}", bob)).json()["error"]["code"] == "job.not_found"
        why = (await bench.get(f"/v1/networks/{network}/jobs/{job}/why", ann)).json()
        assert why["chosen"] == server.id and {"device": laptop.id, "gate": "model", "passed": False} in [
            {key: gate[key] for key in ("device", "gate", "passed")} for gate in why["gates"]
        ]
        assert all(sum(score["terms"].values()) == score["total"] for score in why["scores"])
        lines = (await bench.get(f"/v1/networks/{network}/ledger", bob)).json()["lines"]
        assert [(line["amount"], line["job"]) for line in lines] == [(1055, job)]


async def test_a_certificate_is_renewed_at_half_of_its_life(tmp_path):
    clock = Clock()
    async with a_coordinator(tmp_path, clock) as bench:
        _, _, network, laptop, _ = await two_people(bench)
        wire = await bench.linked(laptop)
        await bench.coordinator.upkeep.once()
        clock.forward(3.6 * 86400)
        await bench.coordinator.upkeep.once()
        update = await wire.hear_a(link.CertificateUpdate)
        paper = signed.verify(update.certificate, Certificate, laptop.answer["network_key"], network)
        assert paper.issued_ms == clock.now_ms


async def test_what_a_device_says_of_itself_is_kept_over_a_restart(tmp_path):
    clock = Clock()
    faster = msgspec.structs.replace(LAPTOP, cores=64)
    async with a_coordinator(tmp_path, clock) as bench:
        _, _, _, _, server = await two_people(bench)
        wire = await bench.linked(server)
        wire.say(link.Hello("test", 1, faster))
        async with asyncio.timeout(LIMIT_S):
            while (await bench.coordinator.parts.database.read(devices.get, server.id)).capability != faster:
                await bench.beat(wire)
    async with a_coordinator(tmp_path, clock) as bench:
        assert bench.coordinator.parts.snapshot.device(server.id).capability.cores == 64


async def test_state_and_certificates_survive_a_restart_with_the_same_keys(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, _, network, laptop, _ = await two_people(bench)
    async with a_coordinator(tmp_path) as bench:
        wire = bench.connect()
        wire.say(bench.prove(await wire.hear(), laptop.id, laptop.seed))
        welcome = await wire.hear()
        assert signed.verify(welcome.state, State, laptop.answer["network_key"], network).name == "home"
        assert welcome.certificate == laptop.answer["certificate"]
