"""Signing in, in a real browser: a command line by its code."""

import asyncio
import json
import subprocess

import pytest

from agents import a_town
from mesh.cli.programs import MESH
from mesh.sdk import calls
from mesh.sdk.home import Home, HomeRecord
from pages.looking import DESKTOP, PHONE, a_page

pytestmark = pytest.mark.anyio


class Waiting:
    """`mesh auth login` in a process of its own, which waits for a yes."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen(
            (*MESH, "auth", "login", *arguments, "--json"),
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "MESH_HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def hear(self):
        assert self.process.stdout is not None and self.process.stderr is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, self.process.stderr.read()
        return json.loads(line)

    async def end(self):
        code = await asyncio.to_thread(self.process.wait, 60)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


async def mesh(folder, *arguments):
    """Run a command in a home; its exit code and JSON."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "MESH_HOME": str(folder)}
    run = await asyncio.create_subprocess_exec(
        *MESH, *arguments, "--json", env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await run.communicate()
    return run.returncode, json.loads(out or err.splitlines()[-1])


async def enter(looked, person):
    """Sign a browser in as a person, by a link as `mesh web` makes it."""
    await looked.page.goto((await person.do(calls.sign_in_link())).link)
    await looked.page.get_by_role("button", name="Sign in").click()
    await looked.page.get_by_role("heading", name="No devices yet").wait_for()


async def test_a_command_line_is_signed_in_by_the_code_that_a_person_types(tmp_path, browser):
    async with a_town(tmp_path) as (_, ann, _):
        line = Waiting(tmp_path / "laptop", ann.record.url)
        shown = await line.hear()
        async with a_page(browser, DESKTOP) as looked, a_page(browser, PHONE, "dark") as phone:
            page = looked.page
            await page.goto(shown["url"])
            await page.get_by_role("heading", name="You are not signed in here.").wait_for()
            await enter(looked, ann)
            await page.goto(shown["url"])
            field = page.get_by_label("Its code")
            assert await field.input_value() == "", "a code is never prefilled"
            await field.fill("AAA-AAA-AAA")
            await page.get_by_role("button", name="See who asks").click()
            await page.get_by_text("No command line that waits shows this code.").wait_for()
            await looked.sound("login-wrong")
            await field.fill(shown["code"].lower())
            await page.get_by_role("button", name="See who asks").click()
            await page.get_by_text("only if you started this yourself").wait_for()
            await page.get_by_text("127.0.0.1, as you do").wait_for()
            await looked.sound("login-question")
            await page.get_by_role("button", name="Sign it in").click()
            await page.get_by_text("is signed in within seconds").wait_for()
            await looked.sound("login-done")
            await enter(phone, ann)
            await phone.page.goto(shown["url"])
            await phone.page.get_by_label("Its code").wait_for()
            await phone.sound("login-phone")
        signed_in = await line.hear()
        assert (signed_in["member"], await line.end()) == (ann.member, 0)
        code, networks = await mesh(tmp_path / "laptop", "net", "list")
        assert code == 0 and [one["name"] for one in networks["networks"]] == ["home"]
        code, refused = await mesh(tmp_path / "laptop", "members", "invite", "--role", "admin", "--name", "Eve")
        assert (code, refused["error"]["code"]) == (3, "auth.not_fresh")


async def test_a_command_line_confirms_another_and_ctrl_c_ends_a_code(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        line = Waiting(tmp_path / "laptop", ann.record.url, "--admin")
        code = (await line.hear())["code"]
        hers = tmp_path / "hers"
        Home(hers).write(HomeRecord(coordinator=ann.record, session=ann.session))
        done, said = await mesh(hers, "auth", "confirm", code, "--yes")
        assert (done, said["admin"]) == (0, True), said
        assert (await line.hear())["admin"] is True and await line.end() == 0
        done, _ = await mesh(tmp_path / "laptop", "members", "invite", "--role", "guest", "--name", "Eve")
        assert done == 0
        again = Waiting(tmp_path / "laptop")
        code = (await again.hear())["code"]
        again.process.send_signal(2)
        assert await again.end() == 130
        done, said = await mesh(hers, "auth", "confirm", code, "--yes")
        assert (done, said["error"]["code"]) == (1, "login.wrong_code")
