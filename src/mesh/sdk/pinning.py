"""TLS that trusts one certificate, named by its SHA-256, and nothing else.

The certificate is fetched first and compared; it then is the only trust anchor of the context, so that OpenSSL itself
refuses every other one, also when a connection is made anew.

Touches: sockets.
"""

import hashlib
import hmac
import socket
import ssl
from urllib.parse import urlsplit

from mesh.errors import MeshError


class WrongCertificate(MeshError):
    """This is not the coordinator that the link named: its certificate differs. Ask its admin for a new link."""

    code = "coordinator.wrong_certificate"
    kind = "forbidden"


def pinned_context(url: str, sha256: str, timeout_s: float) -> ssl.SSLContext:
    """A client context for the certificate whose SHA-256 (hex, over DER) is given. Raises WrongCertificate, OSError."""
    certificate = _shown(url, _unchecked(), timeout_s)
    if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), sha256):
        raise WrongCertificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the pin says who it is; addresses change
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def vouched_context() -> ssl.SSLContext:
    """A client context that trusts whom this system trusts (or ``SSL_CERT_FILE``), as the devices' links do."""
    return ssl.create_default_context()


def trusting_nobody() -> ssl.SSLContext:
    """A client context for plain http, which checks nothing: reading all authorities of a system takes 25 ms."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def untrusted(error: BaseException | None) -> bool:
    """Whether what failed at the bottom of an error is that nobody vouches for the certificate."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def first_seen(url: str, timeout_s: float) -> str | None:
    """What to pin of a coordinator of which nothing but a URL is known: the SHA-256 of the certificate that it shows.

    None where a public authority vouches for its name, and for plain http. Nothing says yet that it is the right
    coordinator: whoever calls this compares what it saw with what the coordinator knows of itself. Raises OSError.
    """
    if not url.startswith("https:"):
        return None
    try:
        _shown(url, vouched_context(), timeout_s)
    except ssl.SSLCertVerificationError:
        return hashlib.sha256(_shown(url, _unchecked(), timeout_s)).hexdigest()
    return None


def _unchecked() -> ssl.SSLContext:
    """A context only for reading a certificate: nothing is sent over its connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(url: str, context: ssl.SSLContext, timeout_s: float) -> bytes:
    """The certificate (DER) that answers at a URL. Raises OSError, and what the context refuses with."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    with (
        socket.create_connection((host, port), timeout=timeout_s) as connection,
        context.wrap_socket(connection, server_hostname=host) as shown,
    ):
        return shown.getpeercert(binary_form=True) or b""
