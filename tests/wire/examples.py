"""One honest example of everything that is said between programs, made from fixed keys: the source of the vectors."""

from mesh.ids import DeviceId, DeviceKey, JobId, MemberId, NetworkId, PermitId, RequestId
from mesh.protocol import frames, link, papers, receipt, succession
from mesh.protocol.permit import Permit, Price
from mesh.protocol.signed import Paper, public_key, sign
from mesh.protocol.values import (
    Candidate,
    Capability,
    Choice,
    Condition,
    DeviceScore,
    Explanation,
    GateFailure,
    Gpu,
    Hint,
    JobSpec,
    Load,
    ModelOffer,
    Need,
    Routing,
    Usage,
)

NETWORK = NetworkId("01JDDHCB00NETW0RK000000000")
ASKER = DeviceId("01JDDHCB00ASKER00000000000")
WORKER = DeviceId("01JDDHCB00W0RKER0000000000")
ADA = MemberId("01JDDHCB00ADA0000000000000")
BEN = MemberId("01JDDHCB00BEN0000000000000")
JOB = JobId("01JDDHCB00J0B0000000000000")
PERMIT = PermitId("01JDDHCB00PERMJT0000000000")
REQUEST = RequestId("01JDDHCB00REQ0000000000000")
NOW_MS = 1_790_000_000_000

NETWORK_SEED = b"n" * 32
COORDINATOR_SEED = b"c" * 32
ASKER_SEED = b"a" * 32
WORKER_SEED = b"w" * 32
NETWORK_KEY = public_key(NETWORK_SEED)
COORDINATOR_KEY = public_key(COORDINATOR_SEED)
ASKER_KEY = public_key(ASKER_SEED)
WORKER_KEY = public_key(WORKER_SEED)

SECRET = b"s" * 32
PRICE = Price(version=1, micro=3700, per=1000)
SPEC = JobSpec(
    workload="embeddings",
    model="all-minilm-l6-v2",
    units=120,
    sensitivity="public",
    routing=Routing(mode="device", device=WORKER),
    need=Need(tier_min=2, memory_bytes=1 << 30),
    max_cost=1000,
    limit_s=60.0,
)
ATTEMPT = {
    "network": NETWORK,
    "permit": PERMIT,
    "requester": ASKER,
    "worker": WORKER,
    "job": JOB,
    "attempt": 1,
}
SUBMIT = receipt.Submit(**ATTEMPT, input_digest="ab" * 32, maximum=444, time_ms=NOW_MS)
SUBMIT_TOKEN = sign(SUBMIT, ASKER_SEED)
COUNT = receipt.Count(**ATTEMPT, units=60)
CLAIM = receipt.Claim(
    **ATTEMPT,
    units=120,
    outcome="done",
    output_digest="cd" * 32,
    started_ms=NOW_MS,
    finished_ms=NOW_MS + 7,
    submit=SUBMIT_TOKEN,
)
CLAIM_TOKEN = sign(CLAIM, WORKER_SEED)
USED = receipt.Used(**ATTEMPT, units=120, claim=CLAIM_TOKEN)
CERTIFICATE = papers.Certificate(
    network=NETWORK,
    device=WORKER,
    name="bens-desktop",
    key=WORKER_KEY,
    owner=BEN,
    serial=2,
    epoch=3,
    issued_ms=NOW_MS,
    expires_ms=NOW_MS + 604_800_000,
)
PERMIT_PAPER = Permit(
    network=NETWORK,
    permit=PERMIT,
    request=REQUEST,
    payer=ADA,
    requester=ASKER,
    requester_key=ASKER_KEY,
    role="member",
    workload="embeddings",
    model="all-minilm-l6-v2",
    sensitivity="public",
    price=PRICE,
    candidates=(Candidate(WORKER, WORKER_KEY, BEN, 444),),
    maximum=444,
    job=JOB,
    epoch=3,
    issued_ms=NOW_MS,
    start_by_ms=NOW_MS + 240_000,
    finish_by_ms=NOW_MS + 300_000,
)
STATE = papers.State(
    network=NETWORK,
    epoch=3,
    name="home",
    time_ms=NOW_MS,
    network_keys=(papers.NetworkKey(NETWORK_KEY, NOW_MS, NOW_MS * 2),),
    coordinator_keys=(papers.NetworkKey(COORDINATOR_KEY, NOW_MS, NOW_MS * 2),),
    revoked=(DeviceKey("1f" * 32),),
    relays=(papers.RelayInfo("http://127.0.0.1:8401", WORKER_KEY, "127.0.0.1:8401"),),
)

SIGNED: list[tuple[Paper, bytes]] = [
    (CERTIFICATE, NETWORK_SEED),
    (STATE, NETWORK_SEED),
    (PERMIT_PAPER, COORDINATOR_SEED),
    (
        succession.Succession(
            network=NETWORK,
            purpose="device",
            subject=WORKER,
            number=1,
            old=WORKER_KEY,
            new=ASKER_KEY,
            from_ms=NOW_MS,
        ),
        WORKER_SEED,
    ),
    (SUBMIT, ASKER_SEED),
    (COUNT, ASKER_SEED),
    (CLAIM, WORKER_SEED),
    (USED, ASKER_SEED),
    (receipt.Failed(**ATTEMPT, reason="engine.crashed"), ASKER_SEED),
    (receipt.Superseded(**ATTEMPT, used_attempt=2), ASKER_SEED),
    (
        receipt.Verdict(
            network=NETWORK, check=PERMIT, requester=ASKER, worker=WORKER, job=JOB, attempt=1, outcome="missed"
        ),
        ASKER_SEED,
    ),
    (receipt.NoMore(network=NETWORK, permit=PERMIT, device=ASKER, side="requester", facts=1), ASKER_SEED),
    (
        papers.JoinProof(
            network="", key=ASKER_KEY, coordinator=COORDINATOR_KEY, secret_sha256="ef" * 32, name="adas", time_ms=NOW_MS
        ),
        ASKER_SEED,
    ),
    (
        papers.SignInProof(network=NETWORK, device=ASKER, coordinator=COORDINATOR_KEY, nonce="0" * 64, time_ms=NOW_MS),
        ASKER_SEED,
    ),
    (papers.LedgerHead(network=NETWORK, number=7, hash="cd" * 32, time_ms=NOW_MS), NETWORK_SEED),
    (
        papers.Observed(network="", key=ASKER_KEY, address="198.51.100.7:40001", time_ms=NOW_MS),
        WORKER_SEED,
    ),
    (
        papers.LinkProof(
            network="",
            side="device",
            device=ASKER,
            coordinator=COORDINATOR_KEY,
            coordinator_nonce="1" * 64,
            device_nonce="2" * 64,
            binding="http://127.0.0.1:8400",
        ),
        ASKER_SEED,
    ),
]

LOAD = Load(sequence=4, depth=2, work_s=0.5)
CAPABILITY = Capability(
    system="linux",
    arch="x86_64",
    cores=2,
    memory_bytes=24 << 30,
    tier=2,
    gpus=(Gpu("none", 0),),
    isolation="limited",
    offers=(ModelOffer("embeddings", "all-minilm-l6-v2", 27000.0, 0.004, 0.6, True, "99" * 32),),
)
EXPLANATION = Explanation(
    asked=("policy", "state"),
    devices=(WORKER, ASKER),
    failed=(GateFailure("state", "paused", (1,)),),
    scores=(DeviceScore(WORKER, {"first_result": 0.5, "rtt": 0.1}, 0.6),),
    chosen=WORKER,
    would_change=("nothing",),
    choices=(Choice(WORKER, 1, 0.42, 0.1, "finish"),),
)

ASKER_FRAMES: list[frames.Frame] = [
    frames.Hello(certificate="c.c.c", state="s.s.s"),
    frames.Submit(JOB, 1, SUBMIT_TOKEN, SPEC, SECRET, "p.p.p", b"payload", 7, 2.5),
    frames.Acknowledged(JOB, 1, "u.u.u"),
    frames.Cancel(JOB, 1),
    frames.Beat(None, ("c.c.c",)),
    frames.Blob(JOB, 1, 1 << 20),
]
WORKER_FRAMES: list[frames.Frame] = [
    frames.Hello(certificate="c.c.c"),
    frames.Accept(JOB, 1, 0.25, LOAD),
    frames.Busy(JOB, 1, LOAD),
    frames.Decline(JOB, 1, {"code": "worker.full"}, 1.5, LOAD),
    frames.Started(JOB, 1, LOAD),
    frames.Progress(JOB, 1, "loading", 0.5, 1.0),
    frames.Chunk(JOB, 1, 0, b"abc"),
    frames.Done(JOB, 1, Usage(120), CLAIM_TOKEN, b"result", 6, LOAD),
    frames.Fault(JOB, 1, {"code": "engine.crashed"}, None, LOAD),
    frames.Beat(LOAD),
]
LINK_FROM_DEVICE: list[link.Message] = [
    link.Prove(ASKER, "2" * 64, "p.p.p"),
    link.Hello(
        "mesh 0.1.0", 1, CAPABILITY, 3, "http://127.0.0.1:8401", ("192.0.2.1:4000",), ("o.o.o",), "127.0.0.1:8401"
    ),
    link.Beat(7, Condition("busy", LOAD, ("all-minilm-l6-v2",), 0.5, 0.9, True, 0.8)),
    link.PermitRequest(REQUEST, JOB, SPEC, (WORKER,), paths=(link.PathSeen(WORKER, 2.5, 1e6),)),
    link.EstimateRequest(REQUEST, SPEC),
    link.Started(JOB, 1, ASKER),
    link.Report(
        1,
        (CLAIM_TOKEN,),
        (link.JobReport(JOB, SPEC, (link.AttemptReport(WORKER, 1, NOW_MS, NOW_MS + 9, "direct"),), WORKER, 120),),
    ),
    link.CancelJob(JOB),
    link.Judged("signed"),
    link.NewKey("s.s.s.t"),
    link.Problem({"code": "link.protocol"}),
]
LINK_FROM_COORDINATOR: list[link.Message] = [
    link.Challenge(COORDINATOR_KEY, "1" * 64),
    link.Welcome("p.p.p", NOW_MS, NETWORK, "s.s.s", "c.c.c"),
    link.BeatAnswer(7, NOW_MS),
    link.Placed(REQUEST, "p.p.p", (Hint(WORKER, 0.01, 0.05, LOAD, (), "http://127.0.0.1:8401"),), EXPLANATION),
    link.Refused(REQUEST, {"code": "placement.nowhere"}, EXPLANATION, 5.0),
    link.Estimated(REQUEST, WORKER, 3_330, 0.25, EXPLANATION),
    link.ReportAck(1, (link.Reported(0, "token.invalid"),)),
    link.StateUpdate("s.s.s"),
    link.CertificateUpdate("c.c.c"),
    link.KeyTaken(WORKER_KEY, "c.c.c"),
    link.Peers((papers.PeerCertificate("c.c.c", "admin"),), (link.OwnDevice(ASKER, CAPABILITY),), (WORKER,), True),
    link.Close(PERMIT),
    link.Check(PERMIT, JOB, 1, WORKER, NOW_MS + 600_000),
    link.Cancel(JOB),
    link.Drain(),
    link.Removed("device.revoked"),
    link.Admissions((link.Admission(ASKER_KEY, (1, 2)),), True),
    link.Problem({"code": "link.protocol"}),
]
