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
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE  # only to read the certificate: nothing is sent over this connection
    with (
        socket.create_connection((host, port), timeout=timeout_s) as connection,
        unchecked.wrap_socket(connection, server_hostname=host) as shown,
    ):
        certificate = shown.getpeercert(binary_form=True) or b""
    if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), sha256):
        raise WrongCertificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the pin says who it is; addresses change
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
