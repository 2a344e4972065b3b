"""Every route of the coordinator says who may call it, in the one place where that is also what runs."""

from fastapi.routing import APIRoute

from mesh.coordinator.http import app as application
from mesh.coordinator.http.access import Access

OPEN = {
    "/healthz",
    "/v1/about",
    "/join",
    "/v1/claim",
    "/v1/join",
    "/v1/sessions/device",
}
"""The addresses that need no session; each was looked at, and a new one needs a reason here."""


def routes() -> list[APIRoute]:
    found = list(application.api(None).routes)  # type: ignore[arg-type]
    assert all(isinstance(route, APIRoute) for route in found), found
    return found  # type: ignore[return-value]


def access_of(route: APIRoute) -> list[Access]:
    return [one.dependency for one in route.dependencies if isinstance(one.dependency, Access)]


def test_every_route_names_exactly_one_permission() -> None:
    assert len(routes()) > 10
    for route in routes():
        assert len(access_of(route)) == 1, f"{route.methods} {route.path}"


def test_only_these_are_open_to_everybody() -> None:
    assert {route.path for route in routes() if access_of(route)[0].label.startswith("public")} == OPEN


def test_routes_in_a_network_need_a_permission_in_it() -> None:
    for route in routes():
        if "{network}" in route.path:
            assert access_of(route)[0].permission is not None, route.path


def test_reading_never_needs_more_than_get() -> None:
    for route in routes():
        assert not (route.methods or set()) & {"PATCH"}
