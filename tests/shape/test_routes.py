"""Every route of the coordinator says who may call it, in the one place where that is also what runs."""

from mesh.coordinator.http import app, openapi
from mesh.coordinator.http.described import ANSWERS, FILES
from shape.route_table import PAGE, access_of, page, routes

OPEN = {
    "/",  # the pages' files say nothing of anybody
    "/n/{rest:path}",
    "/assets/{name}",
    "/theme.js",
    "/mark.svg",
    "/openapi.json",
    "/healthz",
    "/v1/about",
    "/join",
    "/v1/claim",
    "/v1/join",
    "/device",
    "/v1/logins",  # a command line asks; a person's yes is the permission
    "/v1/logins/{login}/state",
    "/v1/logins/{login}/withdraw",
    "/v1/links/look",  # like claiming: who holds the secret may know what it is for
    "/v1/page/sign-in",
    "/v1/page/ways/start",  # sends the browser to a provider
    "/v1/page/ways/finish",  # what the provider vouches for is the permission
    "/v1/page/passkeys/begin",  # a random number to be signed
    "/v1/page/passkeys/finish",  # the signature of a person's passkey is the permission
    "/v1/page/mail/invite",  # the letter goes to the address that the invite is for, and nowhere else
    "/v1/page/mail",  # one answer for every address; the link in the letter is the permission
    "/v1/ways",  # what the sign-in page offers
    "/signed-in",
    "/v1/deletions/look",  # whose account it was cannot sign in any more; the receipt is the permission
    "/v1/pairings",  # a machine without a link asks; a member's yes is the permission
    "/v1/pairings/{pairing}/state",
    "/v1/pairings/{pairing}/withdraw",
    "/v1/sessions/device",
}
"""The addresses that need no session; each was looked at, and a new one needs a reason here."""


def test_every_route_names_exactly_one_permission() -> None:
    assert len(routes()) > 20
    for route in routes():
        assert len(access_of(route)) == 1, f"{route.methods} {route.path}"


def test_only_these_are_open_to_everybody() -> None:
    assert {route.path for route in routes() if access_of(route)[0].label.startswith("public")} == OPEN


def test_routes_in_a_network_need_a_permission_in_it() -> None:
    for route in routes():
        if "{network}" in route.path:
            assert access_of(route)[0].permission is not None, route.path


def test_every_route_is_documented() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/shape/route_table.py"


def test_every_route_says_in_described_what_it_answers() -> None:
    named = {f"{route.endpoint.__module__.rpartition('.')[2]}.{route.endpoint.__name__}" for route in routes()}
    assert named == ANSWERS.keys() | FILES.keys()


def test_the_description_of_the_api_says_who_may_what_and_names_each_operation_once() -> None:
    described = openapi.document(app.api(None))  # type: ignore[arg-type]
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) == len(routes())
    for one in operations:
        assert (one["security"] == []) == ("Who: public" in one["description"]), one["operationId"]
