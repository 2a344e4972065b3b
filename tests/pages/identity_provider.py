"""A real provider of OpenID Connect (npm's ``oidc-provider``) as a process of its own, for the tests of pages."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from foreign import node_here

WEB = Path(__file__).resolve().parents[2] / "web"
CLIENT, SECRET = "mesh", "a secret of the tests, long enough"
STARTED_S = 60.0


@contextlib.asynccontextmanager
async def an_identity_provider(redirect: str) -> AsyncIterator[str]:
    """Its issuer; it sends people back to ``redirect``. Whoever says a name is that person."""
    script = Path(__file__).with_name("oidc_provider.mjs").read_text(encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(str(await asyncio.to_thread(node_here)), "--input-type=module", "-", redirect),
        cwd=WEB,  # its packages are those of web/
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(script.encode())
        process.stdin.close()
        async with asyncio.timeout(STARTED_S):
            line = await process.stdout.readline()
        yield json.loads(line)["issuer"]
    finally:
        process.kill()
        await process.wait()
