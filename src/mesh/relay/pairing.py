"""Who hears whom on a relay: a pure machine, facts in (connected, frame, closed, admissions, tick), effects out.

A key is admitted with the numbers of its networks; frames pass between two keys only if they share a number. Whatever a
sender may not reach is as silent as what does not exist. Of several connections of one key the newest is *active* and
hears; the others are spares, and the newest of them takes over when the active one ends.

Invariant: after every call each pair in ``_sent_to`` is of two admitted keys that share a network, so that news of a
departure never leaves the networks of the one that departs.

Touches: nothing (times in seconds and randomness are arguments).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from mesh.protocol import relayed
from mesh.protocol.relayed import KEY_BYTES, SEND_BATCH, SEND_DATAGRAM, Buffer, Version
from mesh.relay.counters import Counters

IDLE_S: Final = 15.0
"""A client silent for so long (and 1 to 5 s more, so that not all are asked at once) is pinged. Half of the 30 s after
which a relayed path of its transport counts as dead."""
IDLE_SPREAD_S: Final = (1.0, 5.0)
PONG_S: Final = 5.0
"""A ping not answered in so long ends the connection; clients use the same figure towards the relay."""
CONNECTIONS_PER_KEY_MAX: Final = 4
"""One active and three spares: a device that changes networks leaves few dead connections behind before the ping finds
them. More would let one key hold many sockets."""
BURST_S: Final = 0.1
"""Seconds of its byte rate that a client may be ahead: what a burst of one client may cost the others."""

REASONS: Final = {
    "malformed": "sent a frame that is none",
    "silent": "did not answer a ping",
    "too_many": "more connections of one key than are kept",
    "removed": "the key is no longer admitted",
}
"""Why this machine ends a connection."""


class Send(NamedTuple):
    """Send ``head + body`` as one message. ``body`` may be a view that is only valid during the call that gave it."""

    conn: int
    head: bytes
    body: Buffer = b""


class Close(NamedTuple):
    """End a connection; it has already left the machine. ``reason`` is a key of ``REASONS``."""

    conn: int
    reason: str


class Pause(NamedTuple):
    """Read nothing from a connection for so many seconds: it is ahead of its byte rate."""

    conn: int
    seconds: float


Effect = Send | Close | Pause
NOTHING: Final[tuple[Effect, ...]] = ()


class _Client:
    """One connection: its key and version, when it was heard, what it owes."""

    __slots__ = ("budget_at", "conn", "echo", "heads", "heard_at", "idle_s", "key", "limited", "pong_by", "version")

    def __init__(self, conn: int, key: bytes, version: Version, now: float) -> None:
        self.conn = conn
        self.key = key
        self.version: Version = version
        self.heads = {kind: relayed.forwarded_head(kind, key) for kind in (SEND_DATAGRAM, SEND_BATCH)}
        self.heard_at = now
        self.idle_s = 0.0
        self.echo: bytes | None = None  # of the ping that is not answered yet
        self.pong_by = 0.0
        self.budget_at = 0.0  # when all it sent so far would have been sent at exactly its rate
        self.limited = False


class Pairing:
    """The machine. Connections are numbers given by the caller, keys are 32 raw bytes."""

    def __init__(self, *, randomness: Callable[[int], bytes], bytes_per_s: float) -> None:
        """``randomness`` gives so many random bytes; ``bytes_per_s`` bounds what one client may send."""
        self.counters = Counters()
        self._randomness = randomness
        self._s_per_byte = 1.0 / bytes_per_s
        self._networks: dict[bytes, frozenset[int]] = {}
        self._spent: frozenset[int] = frozenset()
        self._clients: dict[int, _Client] = {}
        self._by_key: dict[bytes, list[_Client]] = {}  # oldest first; the last is active
        self._sent_to: dict[bytes, set[bytes]] = {}
        self._routes: dict[tuple[bytes, bytes], tuple[int, int]] = {}  # (from, to) → (active conn, network)

    # --- facts --------------------------------------------------------------------------------------------------------

    def admits(self, key: bytes) -> bool:
        """Whether this key may connect."""
        return key in self._networks

    @property
    def connections(self) -> int:
        """How many connections there are, spares included."""
        return len(self._clients)

    def admissions(self, changes: Iterable[tuple[bytes, Iterable[int]]], *, full: bool) -> list[Effect]:
        """Keys and the numbers of their networks: the ``full`` list, or what changed (no numbers: removed)."""
        fresh = {} if full else dict(self._networks)
        for key, numbers in changes:
            networks = frozenset(numbers)
            if networks:
                fresh[key] = networks
            else:
                fresh.pop(key, None)
        self._networks = fresh
        self._routes.clear()
        removed = [key for key in self._by_key if key not in fresh]
        effects: list[Effect] = []
        for key in removed:
            effects += [self._close(client, "removed") for client in self._by_key.pop(key)]
        for sender, receiver in list(self._sent_pairs()):
            if self._shared(sender, receiver) is None:
                self._sent_to[sender].discard(receiver)
                effects += self._tell_gone(sender, receiver)
        for key in removed:
            self._sent_to.pop(key, None)
        return effects

    def spend(self, networks: frozenset[int]) -> None:
        """These networks have had their bytes for now: nothing is forwarded on their account."""
        if networks != self._spent:
            self._spent = networks
            self._routes.clear()

    def connected(self, conn: int, key: bytes, version: Version, now: float) -> list[Effect]:
        """A connection has proven an admitted key: it becomes the active one of that key."""
        assert key in self._networks
        assert conn not in self._clients
        client = _Client(conn, key, version, now)
        client.idle_s = self._draw_idle_s()
        self._clients[conn] = client
        peers = self._by_key.setdefault(key, [])
        effects: list[Effect] = []
        if peers:
            elsewhere = "Another connection of this key has taken over."
            effects.append(_health(peers[-1], relayed.STATUS_CONNECTED_ELSEWHERE, elsewhere))
        peers.append(client)
        if len(peers) > CONNECTIONS_PER_KEY_MAX:
            effects.append(self._close(peers.pop(0), "too_many"))
        self._routes.clear()
        return effects

    def frame(self, conn: int, frame: Buffer, now: float) -> Sequence[Effect]:
        """A message arrived. Unknown connections are ignored: their last bytes may come after their end."""
        sender = self._clients.get(conn)
        if sender is None:
            return NOTHING
        size = len(frame)
        self.counters.frames_in += 1
        self.counters.bytes_in += size
        sender.heard_at = now
        ahead = sender.budget_at if sender.budget_at > now else now
        sender.budget_at = ahead + size * self._s_per_byte
        kind = frame[0] if size else -1
        effects: Sequence[Effect]
        if kind in (SEND_DATAGRAM, SEND_BATCH):
            effects = self._forward(sender, kind, frame)
        else:
            effects = self._answer(sender, frame)
        if sender.budget_at - now > BURST_S and conn in self._clients:
            return [*effects, *self._slow_down(sender, now)]
        return effects

    def closed(self, conn: int) -> list[Effect]:
        """A connection ended by itself. Late or repeated news is ignored."""
        client = self._clients.pop(conn, None)
        return [] if client is None else self._leave(client)

    def tick(self, now: float) -> list[Effect]:
        """Time passed: ping the silent, end those that owe a pong, tell the slowed that they are not any more."""
        effects: list[Effect] = []
        for client in list(self._clients.values()):
            if client.echo is not None:
                if now >= client.pong_by:
                    effects += self._end(client, "silent")
                    continue
            elif now - client.heard_at >= client.idle_s:
                client.echo = self._randomness(relayed.PING_BYTES)
                client.pong_by = now + PONG_S
                client.idle_s = self._draw_idle_s()
                effects.append(Send(client.conn, relayed.ping(client.echo)))
            if client.limited and client.budget_at <= now:
                client.limited = False
                if client is self._by_key[client.key][-1]:
                    effects.append(_health(client, relayed.STATUS_HEALTHY, ""))
        return effects

    def stopping(self, *, reconnect_in_ms: int, try_for_ms: int) -> list[Effect]:
        """The relay is about to stop: tell everybody."""
        notice = relayed.restarting(reconnect_in_ms, try_for_ms)
        return [Send(conn, notice) for conn in self._clients]

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _forward(self, sender: _Client, kind: int, frame: Buffer) -> Sequence[Effect]:
        if not relayed.is_sound_datagram(frame):
            return self._end(sender, "malformed")
        receiver = bytes(frame[1 : 1 + KEY_BYTES])
        route = self._routes.get((sender.key, receiver)) or self._find_route(sender.key, receiver)
        if route is None:
            spent = self._shared(sender.key, receiver) is not None and receiver in self._by_key
            self.counters.dropped["month" if spent else "no_route"] += 1
            return NOTHING
        conn, network = route
        self.counters.network_bytes[network] += len(frame)
        return (Send(conn, sender.heads[kind], frame[1 + KEY_BYTES :]),)

    def _find_route(self, sender: bytes, receiver: bytes) -> tuple[int, int] | None:
        network = self._shared(sender, receiver, self._spent)
        peers = self._by_key.get(receiver)
        if network is None or not peers:
            return None
        route = (peers[-1].conn, network)
        self._routes[sender, receiver] = route
        self._sent_to.setdefault(sender, set()).add(receiver)
        return route

    def _answer(self, sender: _Client, frame: Buffer) -> list[Effect]:
        try:
            message = relayed.decode_from_client(frame)
        except relayed.BadFrame:
            return self._end(sender, "malformed")
        if isinstance(message, relayed.Ping):
            return [Send(sender.conn, relayed.pong(message.echo))]
        if isinstance(message, relayed.Pong) and message.echo == sender.echo:
            sender.echo = None
        return []

    def _slow_down(self, sender: _Client, now: float) -> Iterator[Effect]:
        self.counters.limited += 1
        if not sender.limited:
            sender.limited = True
            if sender.version == 2:  # version 1's only word for it would read as a broken connection
                yield _health(sender, relayed.STATUS_RATE_LIMITED, "")
        yield Pause(sender.conn, sender.budget_at - now - BURST_S / 2)

    def _end(self, client: _Client, reason: str) -> list[Effect]:
        close = self._close(client, reason)
        return [close, *self._leave(client)]

    def _close(self, client: _Client, reason: str) -> Close:
        assert reason in REASONS
        self.counters.closed[reason] += 1
        self._clients.pop(client.conn, None)
        return Close(client.conn, reason)

    def _leave(self, client: _Client) -> list[Effect]:
        """Take a connection out of its key's list: promote a spare, or tell those who heard from the key."""
        self._routes.clear()
        peers = self._by_key[client.key]
        was_active = peers[-1] is client
        peers.remove(client)
        if peers:
            return [_health(peers[-1], relayed.STATUS_HEALTHY, "")] if was_active else []
        del self._by_key[client.key]
        receivers = self._sent_to.pop(client.key, ())
        return [effect for receiver in sorted(receivers) for effect in self._tell_gone(client.key, receiver)]

    def _tell_gone(self, key: bytes, receiver: bytes) -> list[Effect]:
        peers = self._by_key.get(receiver)
        return [Send(peers[-1].conn, relayed.endpoint_gone(key))] if peers else []

    def _shared(self, one: bytes, other: bytes, without: frozenset[int] = frozenset()) -> int | None:
        """The smallest number of the networks that hold both keys."""
        shared = self._networks.get(one, frozenset()) & self._networks.get(other, frozenset())
        return min(shared - without, default=None)

    def _sent_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        return ((sender, receiver) for sender, receivers in self._sent_to.items() for receiver in receivers)

    def _draw_idle_s(self) -> float:
        low, high = IDLE_SPREAD_S
        return IDLE_S + low + (high - low) * int.from_bytes(self._randomness(2)) / 0xFFFF


def _health(client: _Client, status: int, problem: str) -> Send:
    return Send(client.conn, relayed.health(client.version, status, problem))
