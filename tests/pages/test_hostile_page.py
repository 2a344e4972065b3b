"""A web page of somebody else's, in a real browser on this machine: it cannot read the gateway nor have it do anything.

It knows the ports, and even the keys, which no page can come by; and it tries every way that a page has to speak.
"""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from agents import MODEL, a_town
from pages.looking import a_browser, a_page, opened

pytestmark = pytest.mark.anyio

FETCHES = """async ({bases, keys}) => {
  const chat = JSON.stringify({model: 'mesh/auto', messages: [{role: 'user', content: 'x'}]});
  const texts = JSON.stringify({model: 'mesh/auto', input: ['x']});
  const job = JSON.stringify({c: 'run', workload: 'embeddings', manifest: {texts: ['x']}});
  const tries = [];
  for (const base of bases)
    for (const [path, body] of [['/v1/models'], ['/api/tags'], ['/'], ['/about'], ['/v1/chat/completions', chat],
      ['/v1/embeddings', texts], ['/api/chat', chat], ['/ask', job], ['/session', '{}']])
      for (const method of body ? ['POST', 'PUT'] : ['GET', 'OPTIONS'])
        for (const mode of ['cors', 'no-cors'])
          for (const type of body ? ['text/plain', 'application/json'] : [undefined])
            for (const key of [undefined, ...keys])
              tries.push({url: base + path, method, mode, body, type, key});
  const outcomes = {};
  for (const {url, method, mode, body, type, key} of tries) {
    const headers = {...(type && {'content-type': type}), ...(key && {authorization: `Bearer ${key}`})};
    let outcome;
    try {
      const answer = await fetch(url, {method, mode, body, headers, credentials: 'include', redirect: 'manual'});
      outcome = `${answer.type} ${(await answer.text()).length}`;
    } catch (error) { outcome = 'refused'; }
    outcomes[outcome] = (outcomes[outcome] || 0) + 1;
  }
  return outcomes;
}"""

OTHER_WAYS = """async ({gateway, chat}) => {
  const ended = (make, good, bad) => new Promise((done) => {
    const one = make();
    one['on' + good] = () => done(good);
    one['on' + bad] = () => done(bad);
  });
  const element = (tag, attributes) => () => {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    document.body.append(one);
    return one;
  };
  const told = {};
  told.image = await ended(element('img', {src: gateway + '/api/tags'}), 'load', 'error');
  told.script = await ended(element('script', {src: gateway + '/v1/models'}), 'load', 'error');
  told.events = await ended(() => new EventSource(gateway + '/v1/models'), 'message', 'error');
  const socket = gateway.replace('http', 'ws') + '/v1/chat/completions';
  told.socket = await ended(() => new WebSocket(socket), 'open', 'error');
  navigator.sendBeacon(gateway + '/v1/chat/completions', chat);
  navigator.sendBeacon(gateway + '/v1/chat/completions', new Blob([chat], {type: 'application/json'}));
  const frame = element('iframe', {name: 'target'})();
  const form = element('form', {method: 'POST', action: gateway + '/v1/chat/completions', enctype: 'text/plain',
    target: 'target'})();
  const [name, value] = chat.split('"x"');
  const field = document.createElement('input');
  field.name = name + '"'; field.value = '"' + value;
  form.append(field);
  const loaded = new Promise((done) => { frame.onload = () => done(); });
  form.submit();
  await loaded;
  try { told.frame = frame.contentDocument ? frame.contentDocument.body.innerText : 'closed'; }
  catch (error) { told.frame = 'closed'; }
  return told;
}"""


FROM_THE_PORT_ITSELF = """async (key) => {
  const headers = {authorization: `Bearer ${key}`, 'content-type': 'application/json'};
  const body = '{"model":"mesh/auto","input":["x"]}';
  const status = (path, how) => fetch(path, {headers, ...how}).then((answer) => answer.status, () => 'none');
  return [await status('/v1/models'), await status('/v1/embeddings', {method: 'POST', body})];
}"""


@contextlib.contextmanager
def a_strangers_site() -> Iterator[int]:
    """A web site of somebody else's; returns its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>kittens</title><body>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.timeout(300)
async def test_a_strangers_page_reads_nothing_and_has_nothing_done(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        lumen = await ann.device("lumen", start=False)
        await lumen.start(gateway=True)
        gateway, key = lumen.ready.gateway, lumen.ready.key
        own, _, secret = (await opened(lumen)).partition("/#open.")
        async with httpx2.AsyncClient(trust_env=False) as http:
            session = (await http.post(f"{own}/session", json={"secret": secret}, headers={"origin": own})).json()[
                "key"
            ]
        rebinding = "--host-resolver-rules=MAP evil.test 127.0.0.1"
        with a_strangers_site() as port:
            async with a_browser(rebinding) as browser:
                for site in (f"http://127.0.0.1:{port}", f"http://evil.test:{port}"):
                    async with a_page(browser) as looked:
                        await looked.page.goto(site)
                        bases = [
                            gateway,
                            own,
                            gateway.replace("127.0.0.1", "evil.test"),
                            own.replace("127.0.0.1", "evil.test"),
                        ]
                        outcomes = await looked.page.evaluate(FETCHES, {"bases": bases, "keys": [key, session]})
                        assert (
                            set(outcomes) <= {"refused", "opaque 0", "opaqueredirect 0"}
                            and sum(outcomes.values()) > 300
                        )
                        chat = '{"model":"mesh/auto","messages":[{"role":"user","content":"x"}]}'
                        told = await looked.page.evaluate(OTHER_WAYS, {"gateway": gateway, "chat": chat})
                        assert told.pop("frame") == "closed"
                        assert set(told.values()) == {"error"} and len(told) == 4, told
                for base in (
                    gateway,
                    own,
                ):  # a name of theirs that leads here: then the page has the gateway's own port
                    async with a_page(browser) as looked:
                        rebound = base.replace("127.0.0.1", "evil.test")
                        shown = await looked.page.goto(f"{rebound}/v1/models")
                        assert shown is not None and shown.status in (401, 403, 404)
                        statuses = await looked.page.evaluate(FROM_THE_PORT_ITSELF, key)
                        assert set(statuses) <= {"none", 403, 404}, statuses
        assert lumen.engines.started.empty(), "no job was begun"
        headers = {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(base_url=gateway, headers=headers, trust_env=False, timeout=20) as http:
            done = await http.post("/v1/embeddings", json={"model": MODEL, "input": "by its owner's program"})
        assert done.status_code == 200 and not lumen.engines.started.empty()
