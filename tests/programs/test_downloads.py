"""Model files from the web: gone on with where they broke off, never larger or other than the catalogue says, and only
by the owner's own command. The server is one of this machine that can break off, lie, and send elsewhere.
"""

import asyncio
import datetime
import hashlib
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.agent.engines.own import Engines
from mesh.cli.programs import MESH
from mesh.workloads import downloads
from mesh.workloads.catalogue import BUILTIN, BadEntry, Catalogue, ModelEntry, ModelFile, Source, WebFile, parse_source
from mesh.workloads.checking import SourceFailed, WrongHash
from mesh.workloads.files import HALF_PREFIX, ModelFiles, NoSource
from mesh.workloads.own_catalogue import read_catalogue

pytestmark = pytest.mark.anyio
CONTENT = bytes(range(256)) * 12_000  # 3 MB
PIECE = 500_000
LIMIT_S = 60.0


class Web:
    """A web server with one file. ``breaks``: how often it hangs up after half a megabyte; ``holds``: it stands still
    there until ``go_on``.
    """

    def __init__(self):
        self.content = CONTENT
        self.breaks = 0
        self.holds = False
        self.ranges = True
        self.leads_to: str | None = None
        self.status: int | None = None
        self.asked: list[str | None] = []
        self.half_sent, self.go_on = threading.Event(), threading.Event()

    def answer(self, handler):
        wanted = handler.headers.get("range")
        self.asked.append(wanted)
        if self.leads_to is not None:
            handler.send_response(302)
            handler.send_header("location", self.leads_to)
            handler.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        handler.send_response(self.status or (206 if start else 200))
        if start:
            handler.send_header("content-range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.send_header("content-length", str(len(self.content) - start))
        handler.end_headers()
        handler.wfile.write(self.content[start : start + PIECE])
        handler.wfile.flush()
        if self.breaks:
            self.breaks -= 1
            handler.connection.close()
            return
        if self.holds:
            self.half_sent.set()
            self.go_on.wait(LIMIT_S)
        handler.wfile.write(self.content[start + PIECE :])


@contextmanager
def a_web(context=None):
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with suppress(OSError):  # the client has gone
                web.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}/model.gguf"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def an_entry(url, content=CONTENT):
    file = ModelFile("model.gguf", len(content), hashlib.sha256(content).hexdigest(), (Source(url),))
    return ModelEntry("my-chat", "chat", "MIT", (file,), {"context_tokens": 512}, 1 << 30)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PAUSES_S", (0.01, 0.01, 0.01))
    made = ModelFiles(tmp_path / "models")
    made.from_web = True
    return made


def half_of(tmp_path, entry):
    return tmp_path / "models" / f"{HALF_PREFIX}{entry.files[0].sha256}"


async def test_what_breaks_off_is_gone_on_with_and_progress_is_told(files, tmp_path):
    with a_web() as web:
        web.breaks = 4
        entry, said = an_entry(web.url), []
        have = await files.ensure(entry, lambda *one: said.append(one))
        assert have["model.gguf"].read_bytes() == CONTENT
        assert web.asked[0] is None
        starts = [int(one.removeprefix("bytes=").rstrip("-")) for one in web.asked[1:]]
        assert len(starts) == 4 and starts == sorted(set(starts)) and starts[0] > 0
        assert said[-1] == ("downloading", len(CONTENT), len(CONTENT))
        assert not half_of(tmp_path, entry).exists()


async def test_the_next_command_goes_on_where_one_was_ended(files, tmp_path):
    with a_web() as web:
        web.holds, entry = True, an_entry(web.url)
        first = asyncio.ensure_future(files.ensure(entry))
        assert await asyncio.to_thread(web.half_sent.wait, LIMIT_S)
        first.cancel()
        await asyncio.wait((first,))
        web.holds = False
        again = ModelFiles(tmp_path / "models")
        again.from_web = True
        await again.ensure(entry)
        assert again.present(entry)


async def test_a_server_that_keeps_breaking_off_is_given_up_and_what_came_is_kept(files, tmp_path):
    with a_web() as web:
        entry = an_entry(web.url)
        half_of(tmp_path, entry).parent.mkdir()
        half_of(tmp_path, entry).write_bytes(CONTENT[:1000])
        web.status = 503
        with pytest.raises(SourceFailed, match="goes on"):
            await files.ensure(entry)
        assert len(web.asked) == 4
        assert half_of(tmp_path, entry).read_bytes() == CONTENT[:1000]


async def test_a_beginning_that_was_another_files_is_thrown_away(files, tmp_path):
    with a_web() as web:
        entry = an_entry(web.url)
        half_of(tmp_path, entry).parent.mkdir()
        half_of(tmp_path, entry).write_bytes(b"x" * 1000)
        await files.ensure(entry)
        assert web.asked == ["bytes=1000-", None]
        assert files.path(entry.files[0]).read_bytes() == CONTENT


async def test_a_server_without_ranges_is_begun_again(files):
    with a_web() as web:
        web.ranges, web.breaks = False, 2
        await files.ensure(an_entry(web.url))
        assert len(web.asked) == 3


async def test_other_content_and_other_sizes_are_never_kept(files, tmp_path):
    with a_web() as web:
        for content in (CONTENT[:-1] + b"x", CONTENT + b"x", CONTENT[:-1]):
            web.content, entry = content, an_entry(web.url)
            with pytest.raises(WrongHash):
                await files.ensure(entry)
            assert not files.present(entry)
            assert not half_of(tmp_path, entry).exists() or half_of(tmp_path, entry).stat().st_size == 0


async def test_what_the_server_has_not_is_said_at_once(files):
    with a_web() as web:
        web.status = 404
        with pytest.raises(SourceFailed, match="404"):
            await files.ensure(an_entry(web.url))
        assert len(web.asked) == 1


async def test_a_job_never_fetches_from_the_web(files):
    with a_web() as web:
        files.from_web = False
        with pytest.raises(SourceFailed, match="mesh models pull"):
            await files.ensure(an_entry(web.url))
        assert web.asked == []


async def test_a_redirect_is_followed_within_bounds(files):
    with a_web() as web, a_web() as other:
        web.leads_to = other.url
        await files.ensure(an_entry(web.url))
        assert (len(web.asked), len(other.asked)) == (1, 1)
        for target in ("http://192.0.2.1/model.gguf", "file:///etc/passwd", "https://me:pw@example.org/x", web.url):
            web.leads_to = target
            with pytest.raises(SourceFailed):
                await files.ensure(an_entry(web.url, CONTENT[:-2]))


def a_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a web")]), datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = (
        made.serial_number(7).not_valid_before(now - day).not_valid_after(now + day).add_extension(here, critical=False)
    )
    signed = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.pem").write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    return context


async def test_over_tls_the_certificate_must_be_vouched_for(files, tmp_path, monkeypatch):
    with a_web(a_certificate(tmp_path)) as web:
        with pytest.raises(SourceFailed, match="vouches"):
            await files.ensure(an_entry(web.url))
        assert web.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        await files.ensure(an_entry(web.url))


def test_a_file_of_the_hub_is_an_address_of_it():
    source = Source("hf:some-one/Some-Model-GGUF@0123abcd/sub/model.Q4_K_M.gguf")
    address = "https://huggingface.co/some-one/Some-Model-GGUF/resolve/0123abcd/sub/model.Q4_K_M.gguf"
    assert parse_source(source) == WebFile(address)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"{", 1, "a list of entries"),
        (b"[\n1]", 2, "Expected `object`"),
        (b"\n\xff", 2, "not UTF-8"),
        (b"[" * 10_000, 1, ""),
        (b" " * (2 << 20), 1, "larger"),
        (b"", 1, "a list of entries"),
        (b"[\n\n {'id': 1}]", 3, "column 3"),
        (b"[] x", 1, "follow"),
    ],
)
def test_a_catalogue_that_is_not_well_formed_leaves_the_built_in_models_and_says_where(tmp_path, content, line, reason):
    path = tmp_path / "catalogue.json"
    path.write_bytes(content)
    found = read_catalogue(path)
    assert list(found.catalogue) == list(BUILTIN)
    assert found.wrong[0].line == line and reason in found.wrong[0].reason
    with pytest.raises(BadEntry):
        found.refuse("any")


def test_one_wrong_entry_is_left_out_with_its_line_model_and_field_and_the_others_count(tmp_path):
    entry = an_entry("https://example.org/x")
    plain = msgspec.to_builtins(entry)
    built_in = next(iter(BUILTIN)).id
    entries = [
        plain,
        {**plain, "id": "sized", "files": [{**plain["files"][0], "size_bytes": "big"}]},
        {**plain, "id": built_in},
        plain,
        {**plain, "id": "dancer", "workload": "dance"},
        {**plain, "id": "loose", "files": [{**plain["files"][0], "sha256": "00"}]},
        {**plain, "id": "second"},
    ]
    path = tmp_path / "catalogue.json"
    path.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")
    found = read_catalogue(path)
    assert [one.id for one in found.catalogue][len(list(BUILTIN)) :] == ["my-chat", "second"]
    assert [(one.line, one.model, one.field) for one in found.wrong] == [
        (3, "sized", "files[0].size_bytes"),
        (4, built_in, "id"),
        (5, "my-chat", "id"),
        (6, "dancer", "workload"),
        (7, "loose", ""),
    ]
    assert str(found.wrong[0]) == "line 3, model sized, files[0].size_bytes: Expected `int`, got `str`"
    with pytest.raises(BadEntry) as refused:
        found.refuse("loose")
    assert "SHA-256" in refused.value.message and refused.value.facts["line"] == 7
    found.refuse("nobody-knows-it")


async def test_a_model_that_was_added_while_the_device_runs_is_found_when_it_is_made_ready(tmp_path):
    path = tmp_path / "catalogue.json"
    async with Engines(ModelFiles(tmp_path / "models"), lanes=1, catalogue=read_catalogue(path).catalogue) as engines:
        engines.reread = lambda: read_catalogue(path).catalogue
        path.write_bytes(msgspec.json.encode([an_entry("https://example.org/x")]))
        with pytest.raises((NoSource, SourceFailed)):
            await engines.prepare("chat", "my-chat")
        assert isinstance(engines._catalogue, Catalogue)


def test_the_command_pulls_a_model_of_ones_own_and_goes_on_after_a_kill(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = {**os.environ, "MESH_HOME": str(home)}
    with a_web() as web:
        entry = an_entry(web.url)
        (home / "catalogue.json").write_bytes(msgspec.json.encode([entry]))
        web.holds = True
        command = [*MESH, "models", "pull", "my-chat", "--json"]
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert web.half_sent.wait(LIMIT_S)
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait(LIMIT_S)
        web.holds = False
        web.go_on.set()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["model"], told["bytes"], told["offered"]) == ("my-chat", len(CONTENT), False)
        listed = subprocess.run(
            [*MESH, "models", "list", "--json"], env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
        mine = [one for one in json.loads(listed.stdout)["models"] if one["model"] == "my-chat"]
        assert [(one["present"], one["licence"]) for one in mine] == [(True, "MIT")]
