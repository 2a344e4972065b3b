"""MESH_HOME: the one folder that holds all that a device or a command line knows.

``home.json`` says which coordinator, who is signed in, and which device this is. It holds a session token, so it is
readable by its owner alone and is replaced in one step: a crash leaves the old file or the new one.

Touches: files under the home.
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId


class HomeUnreadable(MeshError):
    """A file of this MESH_HOME cannot be read or is damaged. Move it away and join again, or restore it."""

    code = "home.unreadable"


class NotJoined(MeshError):
    """This home belongs to no coordinator yet. Run `mesh up`, or join one: `mesh device join LINK --name NAME`."""

    code = "home.not_joined"
    kind = "unauthenticated"


class NotSignedIn(MeshError):
    """Nobody is signed in here. If you are elsewhere: `mesh auth login`. Else ask an admin for a link, then: `mesh auth
    claim LINK --name NAME`.
    """

    code = "home.not_signed_in"
    kind = "unauthenticated"


class CoordinatorRecord(msgspec.Struct, frozen=True):
    """Where the coordinator is, its public key, and the SHA-256 of its certificate where one is pinned.

    ``more``: further URLs of it, tried in order where ``url`` does not answer; only where a certificate is pinned.
    """

    url: str
    key: DeviceKey
    tls_sha256: str | None = None
    more: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All its URLs, the best first."""
        return (self.url, *(self.more if self.tls_sha256 else ()))

    @property
    def here_only(self) -> bool:
        """Whether it is to be reached from its own machine alone, so that all of its devices are on that one."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")


class SessionRecord(msgspec.Struct, frozen=True):
    """Who is signed in with which token (a secret)."""

    token: str
    member: MemberId
    name: str


class DeviceRecord(msgspec.Struct, frozen=True):
    """Which device of which network this home is; ``network_key`` as the join answered it, None in older homes."""

    id: DeviceId
    name: str
    network: NetworkId
    member: MemberId
    network_key: DeviceKey | None = None


class HomeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of ``home.json``. ``network`` is the one that commands mean when none is named."""

    version: int = 1
    coordinator: CoordinatorRecord | None = None
    session: SessionRecord | None = None
    device: DeviceRecord | None = None
    network: NetworkId | None = None


class Home:
    """One MESH_HOME. Making the object touches nothing; ``ensure`` makes the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "home.json"
        self.device_key = path / "device.key"
        self.next_key = path / "device.key.next"
        self.former_keys = path / "device.keys"
        self.agent_db = path / "agent.db"
        self.control_socket = path / "agent.sock"
        self.gateway_file = path / "gateway.json"
        self.page_file = path / "page.json"
        self.models = path / "models"
        self.models_file = path / "models.json"
        self.catalogue_file = path / "catalogue.json"
        self.batches = path / "batches"
        self.coordinator_data = path / "coordinator"
        self.agent_log = path / "agent.log"
        self.ledger_heads = path / "ledger-heads.json"

    def ensure(self) -> None:
        """Make the folder, readable by its owner alone."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix" and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            self.path.chmod(0o700)

    def empty(self) -> bool:
        """Whether nothing was ever set up here."""
        return not self.record_file.exists() and not self.device_key.exists()

    def read(self) -> HomeRecord:
        """What this home knows; nothing yet is an empty record. Raises HomeUnreadable."""
        try:
            return msgspec.json.decode(self.record_file.read_bytes(), type=HomeRecord)
        except FileNotFoundError:
            return HomeRecord()
        except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
            raise HomeUnreadable(f"{self.record_file} cannot be read: {error}. Move it away and join again.") from error

    def write(self, record: HomeRecord) -> None:
        """Replace what this home knows."""
        self.ensure()
        write_secret(self.record_file, msgspec.json.format(msgspec.json.encode(record), indent=2))

    def coordinator(self) -> CoordinatorRecord:
        """The coordinator of this home. Raises NotJoined."""
        record = self.read().coordinator
        if record is None:
            raise NotJoined
        return record


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read (0600), in one step and durably."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
