"""A coordinator behind a proxy with a certificate that machines trust: links, codes and devices go through it."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from between import Between
from mesh.cli.stage import Player
from mesh.protocol import links
from whole.network import QuickStage, eventually, own_port


class Authority:
    """A certificate authority of the test's own, and a certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.root, self.pair = folder / "root.pem", folder / "pair.pem"
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = self._signed("test authority", root_key, "test authority", root_key, ca=True)
        leaf = self._signed("proxy", key, "test authority", root_key, ca=False)
        self.root.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.pair.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _signed(
        name: str, key: ec.EllipticCurvePrivateKey, by: str, by_key: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, by))
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        return (
            builder.not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(by_key, hashes.SHA256())
        )


def proxy_before(port: int, pair: Path) -> Between:
    """Who ends TLS and passes every byte on, as a proxy for web pages does with requests and WebSockets."""
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain(pair)
    return Between(mine, "127.0.0.1", port)


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[QuickStage, Player, Between]]:
    folder = tmp_path_factory.mktemp("proxy")
    authority, port = Authority(folder), own_port()
    proxy = proxy_before(port, authority.pair)
    with pytest.MonkeyPatch.context() as patch, QuickStage(folder) as stage:
        player = stage.player("ada")
        served = player.start("serve", "--data", str(folder / "data"), "--port", str(port), "--public-url", proxy.url)
        claim = str(served.ready["claim"])
        refused = player.attempt("auth", "claim", claim, "--name", "Ada")
        assert (refused.value["error"]["code"], refused.exit_code) == ("coordinator.untrusted", 3)
        patch.setenv("SSL_CERT_FILE", str(authority.root))
        player.mesh("auth", "claim", claim, "--name", "Ada")
        player.mesh("net", "create", "home")
        yield stage, player, proxy
    proxy.close()


def test_links_name_the_proxy_and_pin_no_certificate(ada: tuple[QuickStage, Player, Between]) -> None:
    stage, player, proxy = ada
    link = player.mesh("device", "invite")["link"]
    assert (links.parse(link).url, links.parse(link).tls_sha256) == (proxy.url, None)
    box = stage.player("box")
    joined = box.mesh("device", "join", link, "--name", "box")
    up = box.start("up", "--only-ask")
    assert up.ready["device"] == joined["device"]

    def seen() -> bool:
        listed = player.mesh("device", "list")["devices"]
        return any(one["device"] == joined["device"] and one["state"] != "offline" for one in listed)

    eventually(seen, "its link stands, through the proxy")
    codes = {one["code"] for one in box.mesh("netcheck")["findings"]}
    assert "coordinator.reached" in codes and "link.up" in codes


def test_a_code_works_through_the_proxy_and_always_asks_twice(ada: tuple[QuickStage, Player, Between]) -> None:
    """The proxy hides where a machine asks from, so nobody can be said to be near."""
    from whole.test_pairing import asking

    stage, player, proxy = ada
    with asking(stage.player("shelf"), proxy.url, "shelf") as there:
        refused = player.attempt("device", "pair", there.code, "--yes")
        assert refused.value["error"]["code"] == "pairing.elsewhere"
        assert player.mesh("device", "pair", there.code, "--yes", "--elsewhere")["state"] == "ready"
        assert there.hear()["device"]
