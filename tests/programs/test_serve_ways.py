"""What `mesh serve` is told about signing in: secrets from files or the environment; what does not fit is said."""

import pytest

from mesh.cli.serve_ways import BadSignIn, settings

NONE = ((None, None, None, ""), (None, None, None), None, (None, None))


def told(oidc=NONE[0], github=NONE[1], admit=None, mail=NONE[3]):
    return settings(oidc, github, admit, mail)


def test_secrets_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    monkeypatch.setenv("MESH_OIDC_CLIENT_SECRET", "from the environment")
    monkeypatch.setenv("MESH_GITHUB_CLIENT_SECRET", "of GitHub")
    monkeypatch.setenv("MESH_SMTP_URL", "smtp://u:p@mail.example.org")
    made = told(
        ("https://id.example.org", "mesh", file, "Example"),
        ("mesh", None, "https://git.example.org/"),
        ["example.org=N1", "example.net=N2"],
        (None, "mesh@example.org"),
    )
    assert made.oidc.secret == "from a file" and made.github.secret == "of GitHub"
    assert made.github.url == "https://git.example.org" and made.mail.url == "smtp://u:p@mail.example.org"
    assert made.admits == {"example.org": "N1", "example.net": "N2"}
    monkeypatch.delenv("MESH_SMTP_URL")
    assert told(("https://id.example.org", "mesh", None, "")).oidc.secret == "from the environment"


def test_what_does_not_fit_together_is_refused(tmp_path, monkeypatch):
    for name in ("MESH_OIDC_CLIENT_SECRET", "MESH_GITHUB_CLIENT_SECRET", "MESH_SMTP_URL"):
        monkeypatch.delenv(name, raising=False)
    assert told() == settings(*NONE) and told().oidc is None
    assert told(("https://id.example.org", "mesh", None, "")).oidc.secret is None, "a public client needs none"
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    for wrong in (
        {"oidc": ("https://id.example.org", None, None, "")},
        {"oidc": (None, "mesh", None, "")},
        *({"oidc": ("https://i.example", "m", file, "")} for file in (empty, binary, tmp_path / "none", tmp_path)),
        {"github": ("mesh", None, None)},
        {"mail": ("smtp://h", None)},
        {"mail": (None, "a@b.de")},
        {"admit": ["example.org"]},
        {"admit": ["=N1"]},
    ):
        with pytest.raises(BadSignIn):
            told(**wrong)
