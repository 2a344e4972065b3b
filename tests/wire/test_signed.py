"""The one module that signs: kinds are never confused, forged keys never accepted, one byte changes everything."""

import base64
import json

import examples
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol import receipt
from mesh.protocol.permit import Permit, Price
from mesh.protocol.receipt import Used
from mesh.protocol.signed import BadKey, BadToken, check_bytes, parse_key, public_key, sign, sign_bytes, verify

# The encodings of points of small order (and non-canonical forms of them) on edwards25519.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000080",
]
KINDS = [type(paper) for paper, _ in examples.SIGNED]


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_small_order_keys_are_refused_when_parsed(key):
    with pytest.raises(BadKey):
        parse_key(key)


@pytest.mark.parametrize("key", SMALL_ORDER)
@pytest.mark.parametrize("paper", [paper for paper, _ in examples.SIGNED], ids=lambda p: type(p).__name__)
def test_a_small_order_key_verifies_no_kind_of_token(key, paper):
    # R = the identity, S = 0 is the fixed signature that careless libraries accept under such keys.
    head, payload, _ = sign(paper, b"x" * 32).split(".")
    forged = base64.urlsafe_b64encode(b"\x01" + b"\x00" * 63).rstrip(b"=").decode()
    with pytest.raises((BadKey, BadToken)):
        verify(f"{head}.{payload}.{forged}", type(paper), key, paper.network)


@pytest.mark.parametrize("paper, seed", examples.SIGNED, ids=lambda value: type(value).__name__)
def test_a_token_of_one_kind_is_refused_as_every_other(paper, seed):
    token = sign(paper, seed)
    for kind in KINDS:
        if kind is type(paper):
            assert verify(token, kind, public_key(seed), paper.network) == paper
        else:
            with pytest.raises(BadToken) as refused:
                verify(token, kind, public_key(seed), paper.network)
            assert refused.value.facts["reason"] == "typ"


@pytest.mark.parametrize(
    "changed",
    [
        {"price": Price(1, -1, 1000)},
        {"price": Price(1, 3700, 0)},
        {"price": Price(1, 3700, -1000)},
        {"price": Price(1, 2**53, 1000)},
        {"maximum": -1},
        {"maximum": 2**53},
    ],
    ids=repr,
)
def test_a_permit_with_an_absurd_price_is_refused_whoever_signed_it(changed):
    token = sign(msgspec.structs.replace(examples.PERMIT_PAPER, **changed), examples.COORDINATOR_SEED)
    with pytest.raises(BadToken):
        verify(token, Permit, examples.COORDINATOR_KEY, examples.NETWORK)


def test_another_network_and_another_key_are_refused():
    token = sign(examples.PERMIT_PAPER, examples.COORDINATOR_SEED)
    with pytest.raises(BadToken, match="another network"):
        verify(token, Permit, examples.COORDINATOR_KEY, "01JDDHCB00OTHER00000000000")
    with pytest.raises(BadToken, match="another key"):
        verify(token, Permit, examples.NETWORK_KEY, examples.NETWORK)


def test_a_header_that_names_an_algorithm_or_a_key_is_refused():
    _, payload, signature = sign(examples.USED, examples.ASKER_SEED).split(".")
    for header in (
        b'{"alg":"none","typ":"mesh-used"}',
        b'{"typ":"mesh-used","alg":"EdDSA"}',
        b'{"alg":"EdDSA","typ":"mesh-used","jwk":{}}',
    ):
        head = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
        with pytest.raises(BadToken):
            verify(f"{head}.{payload}.{signature}", Used, examples.ASKER_KEY, examples.NETWORK)


TOKEN = sign(examples.PERMIT_PAPER, examples.COORDINATOR_SEED)


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 127))
def test_one_changed_character_is_refused(at, character):
    altered = TOKEN[:at] + chr(character) + TOKEN[at + 1 :]
    if altered == TOKEN:
        return
    with pytest.raises(BadToken):
        verify(altered, Permit, examples.COORDINATOR_KEY, examples.NETWORK)


@given(st.text(max_size=300))
def test_any_text_is_a_token_or_a_refusal(text):
    with pytest.raises(BadToken):
        verify(text, Permit, examples.COORDINATOR_KEY, examples.NETWORK)


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_bare_signatures_bind_their_message(message, seed):
    key = public_key(seed)
    signature = sign_bytes(message, seed)
    check_bytes(message, signature, key)
    with pytest.raises(BadToken):
        check_bytes(message + b"!", signature, key)
    with pytest.raises(BadToken):
        check_bytes(message, signature[:-1], key)


def filled(paper, seed, length):
    """A signed token of about this length: of a paper with a field in it that nobody knows, which is ignored."""
    head, payload, _ = sign(paper, seed).split(".")
    held = json.loads(base64.urlsafe_b64decode(payload + "=="))
    more = max(0, (length - len(head) - 90) * 3 // 4 - len(json.dumps(held)) - 12)
    body = base64.urlsafe_b64encode(json.dumps({**held, "more": "x" * more}).encode()).rstrip(b"=").decode()
    signature = base64.urlsafe_b64encode(sign_bytes(f"{head}.{body}".encode(), seed)).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


FACTS = [(paper, seed) for paper, seed in examples.SIGNED if type(paper).__module__ == receipt.__name__]


@pytest.mark.parametrize("paper, seed", FACTS, ids=lambda value: type(value).__name__)
def test_a_fact_that_was_filled_up_is_refused(paper, seed):
    kind, key = type(paper), public_key(seed)
    assert verify(filled(paper, seed, kind.BYTES_MAX - 8), kind, key, paper.network) == paper
    with pytest.raises(BadToken) as refused:
        verify(filled(paper, seed, kind.BYTES_MAX + 64), kind, key, paper.network)
    assert refused.value.facts["reason"] == "length"


def test_whatever_one_side_takes_fits_into_what_wraps_it_at_the_other():
    most = receipt.FACT_BYTES_MAX - 8
    submit, count = (filled(paper, examples.ASKER_SEED, most) for paper in (examples.SUBMIT, examples.COUNT))
    claim = msgspec.structs.replace(examples.CLAIM, submit=submit, count=count)
    assert verify(sign(claim, examples.WORKER_SEED), receipt.Claim, examples.WORKER_KEY, examples.NETWORK) == claim
    longest = filled(examples.CLAIM, examples.WORKER_SEED, receipt.Claim.BYTES_MAX - 8)
    used = msgspec.structs.replace(examples.USED, claim=longest)
    assert verify(sign(used, examples.ASKER_SEED), Used, examples.ASKER_KEY, examples.NETWORK) == used
