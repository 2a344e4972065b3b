"""Passkeys: what a browser is asked to make or to sign, and whether what comes back holds.

They belong to a name, so that no other site gets anything from them: an installation that is reached by an address has
none. The authenticator must have made sure that it is its person (a finger, a PIN), since nothing else is asked.

Touches: randomness (through the library).
"""

from typing import Any, NamedTuple

import msgspec
import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from mesh.coordinator.store.ways_in import Passkey
from mesh.errors import MeshError
from mesh.ids import MemberId

CREDENTIAL_MAX = 1400
"""Characters of a credential's id: WebAuthn allows 1023 bytes."""
_ODD = (WebAuthnException, ValueError, KeyError, TypeError, IndexError)


class NoPasskeys(MeshError):
    """Passkeys belong to a name, and this installation is reached by an address. Its operator can give it one: `mesh
    serve --public-url https://NAME`, or http://localhost:PORT for this machine alone.
    """

    code = "ways.no_passkeys"
    kind = "not_found"


class PasskeyRefused(MeshError):
    """That passkey does not hold here: it is another one, for another name, or was used before. Try again, or sign in
    another way.
    """

    code = "ways.passkey_refused"
    kind = "forbidden"


class Asked(NamedTuple):
    """What the browser is asked for, as JSON; and the challenge in it, in hex."""

    options: dict[str, Any]
    challenge: str


class Where(NamedTuple):
    """The name that passkeys belong to here, and the origin of our pages."""

    name: str
    origin: str


class Made(NamedTuple):
    """A new passkey: the credential's id and its public key, both base64url, and its counter."""

    credential: str
    public_key: str
    uses: int


def to_make(where: Where, member: MemberId, name: str, known: list[Passkey]) -> Asked:
    """Ask for a new passkey of a person, on a device that has none of theirs."""
    options = webauthn.generate_registration_options(
        rp_id=where.name,
        rp_name="Mesh",
        user_id=member.encode(),
        user_name=name,
        user_display_name=name,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.credential)) for one in known],
    )
    return _asked(options)


def made(where: Where, challenge: str, credential: dict[str, Any]) -> Made:
    """The passkey that was made. Raises PasskeyRefused."""
    try:
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=bytes.fromhex(challenge),
            expected_rp_id=where.name,
            expected_origin=where.origin,
            require_user_verification=True,
        )
    except _ODD as error:
        raise PasskeyRefused(reason=type(error).__name__) from error
    made = Made(
        bytes_to_base64url(found.credential_id), bytes_to_base64url(found.credential_public_key), found.sign_count
    )
    if len(made.credential) > CREDENTIAL_MAX:
        raise PasskeyRefused(reason="too long")
    return made


def to_enter(where: Where) -> Asked:
    """Ask for a signature by any passkey of this name: whose it is, is seen afterwards."""
    options = webauthn.generate_authentication_options(
        rp_id=where.name, user_verification=UserVerificationRequirement.REQUIRED
    )
    return _asked(options)


def credential_of(credential: dict[str, Any]) -> str:
    """Which passkey says that it signed. Raises PasskeyRefused."""
    found = credential.get("id")
    if not isinstance(found, str) or not 1 <= len(found) <= CREDENTIAL_MAX:
        raise PasskeyRefused(reason="id")
    return found


def uses(where: Where, challenge: str, credential: dict[str, Any], passkey: Passkey) -> int:
    """The passkey's counter, if it was that passkey which signed. Raises PasskeyRefused."""
    try:
        found = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=bytes.fromhex(challenge),
            expected_rp_id=where.name,
            expected_origin=where.origin,
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=passkey.uses,
            require_user_verification=True,
        )
    except _ODD as error:
        raise PasskeyRefused(reason=type(error).__name__) from error
    return found.new_sign_count


def _asked(options: Any) -> Asked:
    return Asked(msgspec.json.decode(webauthn.options_to_json(options)), options.challenge.hex())
