"""Links as QR codes: at a terminal, and nowhere else."""

import io

from mesh.cli.output import Out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LINK = "https://192.168.1.7:8400/join#v1." + "A" * 43 + "." + "ab" * 32 + "." + "cd" * 32 + "." + "ef" * 32


def shown(monkeypatch, out, stdout):
    monkeypatch.setattr("sys.stdout", stdout)
    out.qr(LINK)
    return stdout.getvalue()


def test_a_terminal_shows_a_square_that_fits_it(monkeypatch):
    lines = shown(monkeypatch, Out(False), Terminal()).splitlines()
    assert 20 < len(lines) < 50
    assert all("A" not in line for line in lines)


def test_json_and_pipes_stay_as_they_are(monkeypatch):
    assert shown(monkeypatch, Out(True), Terminal()) == ""
    assert shown(monkeypatch, Out(False), io.StringIO()) == ""
