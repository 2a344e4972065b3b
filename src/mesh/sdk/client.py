"""The coordinator's HTTP API for Python programs: one client that waits, one for asyncio.

    with Coordinator.of(home) as coordinator:
        for device in coordinator.do(calls.devices(network)).devices: …

Where the home pins a certificate, only that very certificate is spoken to, whoever else may have signed another.

Touches: sockets, randomness (idempotency keys).
"""

import asyncio
import secrets
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import msgspec

from mesh.errors import MeshError, RemoteError, from_wire
from mesh.sdk.calls import Call
from mesh.sdk.home import CoordinatorRecord, Home, NotSignedIn
from mesh.sdk.pinning import WrongCertificate, pinned_context, trusting_nobody, untrusted, vouched_context

T = TypeVar("T")
ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Longest answer that is decoded; a page of 1,000 ledger lines is about 300 KiB."""
TRY_S = 5.0
"""How long one of several addresses may take before the next is tried."""
TIMEOUT_S = 20.0
"""How long a call may take: the coordinator answers in milliseconds, a busy small machine in seconds."""


class CoordinatorUnreachable(MeshError):
    """The coordinator does not answer. Check that `mesh serve` or `mesh up` runs there, and that you reach it."""

    code = "coordinator.unreachable"
    kind = "unreachable"


class CoordinatorUntrusted(MeshError):
    """No authority that this machine trusts vouches for the coordinator's certificate: it has expired, is for another
    name, or this machine's clock is off. Check both. An authority of your own can be named by `SSL_CERT_FILE`.
    """

    code = "coordinator.untrusted"
    kind = "forbidden"


class OddAnswer(MeshError):
    """The coordinator answered something that this version does not understand. Update Mesh on both sides."""

    code = "coordinator.odd_answer"


def _request(call: Call[Any], token: str | None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if call.changes:
        headers["idempotency-key"] = secrets.token_hex(16)
    request: dict[str, Any] = {"method": call.method, "url": call.path, "headers": headers}
    if call.query:
        request["params"] = call.query
    if call.body is not None:
        request["json"] = call.body
    return request


def _answer(call: Call[T], response: httpx2.Response) -> T:
    content = response.content
    if len(content) > ANSWER_BYTES_MAX:
        raise OddAnswer("The coordinator's answer is too long to be read.")
    try:
        if response.is_success:
            return msgspec.json.decode(content or b"{}", type=call.answer)
        body = msgspec.json.decode(content)
        raise from_wire(body["error"])
    except RemoteError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise OddAnswer(status=response.status_code) from error


def _unreachable(url: str, error: Exception) -> MeshError:
    if untrusted(error):
        return CoordinatorUntrusted(url=url)
    return CoordinatorUnreachable(
        f"The coordinator at {url} does not answer ({type(error).__name__}). "
        "Check that it runs and that this machine reaches it.",
        url=url,
    )


def _verify(record: CoordinatorRecord) -> tuple[str, ssl.SSLContext]:
    """The first of its URLs where the pinned coordinator answers, and how to check it there."""
    if record.tls_sha256 is None:
        return record.url, vouched_context() if record.url.startswith("https:") else trusting_nobody()
    failed: Exception | None = None
    for url in record.urls:
        try:
            return url, pinned_context(url, record.tls_sha256, TRY_S if len(record.urls) > 1 else TIMEOUT_S)
        except (OSError, WrongCertificate) as error:
            failed = failed if isinstance(failed, WrongCertificate) else error  # another machine may have that address
    if isinstance(failed, WrongCertificate):
        raise failed
    assert failed is not None
    raise _unreachable(" or ".join(record.urls), failed) from failed


class Coordinator:
    """A client that waits for each answer. Close it, or use it as a context manager."""

    def __init__(self, record: CoordinatorRecord, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._url, verify = _verify(record)
        self._token = token
        # No proxies from the environment: a coordinator is on loopback, on the LAN, or pinned.
        self._http = httpx2.Client(base_url=self._url, verify=verify, timeout=timeout_s, trust_env=False)

    @classmethod
    def of(cls, home: Home) -> Self:
        """The client of the person signed in at a home. Raises NotJoined, NotSignedIn."""
        session = home.read().session
        record = home.coordinator()
        if session is None:
            raise NotSignedIn
        return cls(record, session.token)

    def do(self, call: Call[T]) -> T:
        """Send a call. Raises RemoteError with the coordinator's reason, CoordinatorUnreachable, and more."""
        try:
            return _answer(call, self._http.request(**_request(call, self._token)))
        except httpx2.RequestError as error:
            raise _unreachable(self._url, error) from error

    def pieces(self, call: Call[bytes]) -> Iterator[bytes]:
        """Send a call whose answer is long, and give it piece by piece. Raises like ``do``."""
        try:
            with self._http.stream(**_request(call, self._token)) as response:
                if not response.is_success:
                    response.read()
                    _answer(call, response)
                yield from response.iter_bytes()
        except httpx2.RequestError as error:
            raise _unreachable(self._url, error) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCoordinator:
    """The same for asyncio, made by ``open``. Close it, or use it as an asynchronous context manager."""

    def __init__(self, http: httpx2.AsyncClient, token: str | None) -> None:
        self._http = http
        self._token = token

    @classmethod
    async def open(cls, record: CoordinatorRecord, token: str | None = None, timeout_s: float = TIMEOUT_S) -> Self:
        """Make the client; where a certificate is pinned it is fetched and compared first."""
        url, verify = await asyncio.to_thread(_verify, record)
        return cls(httpx2.AsyncClient(base_url=url, verify=verify, timeout=timeout_s, trust_env=False), token)

    async def do(self, call: Call[T]) -> T:
        """Send a call. Raises RemoteError with the coordinator's reason, CoordinatorUnreachable, and more."""
        try:
            return _answer(call, await self._http.request(**_request(call, self._token)))
        except httpx2.RequestError as error:
            raise _unreachable(str(self._http.base_url), error) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
