"""A stand-in provider on loopback: OpenID Connect whose tokens a test makes as it likes, and GitHub's OAuth."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

CLIENT, SECRET = "mesh", "a secret of the tests, long enough"


class Provider:
    """What it answers, by path, and what it was asked. ``claims``: of the next token, over those that hold."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = ECKey.generate_key("P-256", {"kid": "one"})
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "one"}
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.account: dict[str, Any] = {"id": 4711, "login": "ann", "name": "Ann"}
        self.id_token = ""
        self.metadata = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/keys",
        }
        self.answers: dict[str, Any] = {}

    def token(self, now_ms: int, nonce: str, /, **claims: Any) -> None:
        """The next token; a claim that is None is left out."""
        now_s = now_ms // 1000
        holds = {"iss": self.url, "aud": CLIENT, "sub": "ann-1", "nonce": nonce, "iat": now_s, "exp": now_s + 300}
        whole = {key: value for key, value in {**holds, **claims}.items() if value is not None}
        self.id_token = jwt.encode(self.header, whole, self.key)

    def answer(self, path: str) -> tuple[int, bytes]:
        answers = {
            "/.well-known/openid-configuration": self.metadata,
            "/keys": {"keys": [self.key.as_dict(private=False)]},
            "/token": {"access_token": "x", "token_type": "Bearer", "id_token": self.id_token},
            "/login/oauth/access_token": {"access_token": "gho_x", "token_type": "bearer", "scope": "read:user"},
            "/api/v3/user": self.account,
            **self.answers,
        }
        found = answers.get(path, (404, b"{}"))
        return found if isinstance(found, tuple) else (200, json.dumps(found).encode())


@contextlib.contextmanager
def a_provider() -> Iterator[Provider]:
    """A provider that serves until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            form = dict(parse_qsl(self.rfile.read(length).decode()))
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.asked.append((path, form, headers))
            status, body = provider.answer(path)
            self.send_response(status)
            if status == 302:
                self.send_header("location", body.decode())
                body = b""
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        do_GET = do_POST = _serve

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = Provider(f"http://127.0.0.1:{server.server_address[1]}")
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield provider
        finally:
            server.shutdown()
            serving.join()
