"""Makes wheels and package indexes in a folder, honest and otherwise. For tests of model sources.

Touches: files.
"""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

NAME = "mesh-test-model"
STEM = "mesh_test_model"


def a_wheel(members: dict[str, bytes], *, stem: str = STEM, version: str = "1.0") -> bytes:
    """A wheel with these members and the metadata that pip asks for."""
    info = f"{stem}-{version}.dist-info"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {stem}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, **meta}.items():
            archive.writestr(name, content)
    return out.getvalue()


def an_sdist(trap: Path, *, name: str = NAME, version: str = "1.0") -> bytes:
    """A source distribution whose setup.py makes the file ``trap`` when anybody runs it."""
    out = io.BytesIO()
    files = {
        "setup.py": f"open({str(trap)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name={name!r})\n",
        "PKG-INFO": f"Metadata-Version: 1.0\nName: {name}\nVersion: {version}\n",
    }
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def an_index(folder: Path, files: dict[str, bytes], *, name: str = NAME) -> str:
    """Write a package index with these files of one package; returns its URL."""
    package = folder / "simple" / name
    package.mkdir(parents=True)
    links = []
    for file, content in files.items():
        (package / file).write_bytes(content)
        links.append(f'<a href="{file}#sha256={sha256(content)}">{file}</a>')
    (package / "index.html").write_text("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>")
    return (folder / "simple").as_uri()


def sha256(content: bytes) -> str:
    """The SHA-256 of ``content`` in hex."""
    return hashlib.sha256(content).hexdigest()
