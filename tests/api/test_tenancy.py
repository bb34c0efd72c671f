"""Every route with every wrong key. A route that this page does not know fails the test until somebody says here what
it takes: so that none is ever served without one having asked who may call it.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from laterna.api.app import routes
from laterna.media.objects import new_key
from laterna.tenants.caller import ADMIN, API, KINDS, METRICS, READ
from laterna.tenants.keys import DEFAULT_TENANT
from tests.api.conftest import Api, picture, running
from tests.api.test_fal_realtime import hear, opened

# What a route takes.
OPEN = "open"  # nothing: what there is to know of the server and its models
CAPABILITY = "capability"  # its address
TOKEN = "token"  # its address, which has a token in it; a key is of no use
OPERATOR = "OPERATOR"  # an admin key of the operator's

SERVED: dict[str, dict[str, str]] = {
    "/": {"GET": OPEN},
    "/gallery": {"GET": OPEN},
    "/models": {"GET": OPEN},
    "/models/{rest:path}": {"GET": OPEN},
    "/operator": {"GET": OPEN},
    "/usage": {"GET": OPEN},
    "/settings": {"GET": OPEN},
    "/docs": {"GET": OPEN},
    "/llms.txt": {"GET": OPEN},
    "/models/{endpoint:path}/llms.txt": {"GET": OPEN},
    "/requests": {"GET": OPEN},
    "/requests/{id}": {"GET": OPEN},
    "/assets/{name}": {"GET": OPEN},
    "/api/page/session": {"GET": READ},
    "/api/page/token": {"POST": READ},
    "/api/page/live": {"WEBSOCKET": TOKEN},
    "/api/page/speeds": {"GET": READ},
    "/api/page/estimate/{endpoint:path}": {"POST": READ},
    "/api/page/loras": {"GET": READ},
    "/api/page/pictures": {"GET": READ},
    "/api/page/requests": {"GET": READ},
    "/api/page/requests/{request_id}": {"GET": READ},
    "/.well-known/jwks.json": {"GET": OPEN},
    "/rest/.well-known/jwks.json": {"GET": OPEN},
    "/.well-known/provenance.pem": {"GET": OPEN},
    "/health": {"GET": OPEN},
    "/metrics": {"GET": METRICS},
    "/ready": {"GET": OPEN},
    "/platform/v1/models": {"GET": OPEN},
    "/platform/v1/models/pricing": {"GET": OPEN},
    "/api/openapi/queue/openapi.json": {"GET": OPEN},
    "/platform/v1/models/requests/{request_id}": {"GET": READ},
    "/platform/v1/models/requests/{request_id}/payloads": {"DELETE": ADMIN},
    "/platform/v1/models/requests/{request_id}/redeliver": {"POST": API},
    "/platform/v1/models/requests": {"GET": READ},
    "/platform/v1/models/requests/by-endpoint": {"GET": READ},
    "/platform/v1/keys": {"GET": ADMIN, "POST": ADMIN},
    "/platform/v1/keys/{key_id}": {"DELETE": ADMIN},
    "/platform/v1/keys/{key_id}/rotate": {"POST": ADMIN},
    "/platform/v1/tenants": {"GET": OPERATOR, "POST": OPERATOR},
    "/platform/v1/tenants/{tenant}": {"PATCH": OPERATOR},
    "/platform/v1/limits": {"GET": READ},
    "/platform/v1/models/pricing/estimate": {"POST": READ},
    "/platform/v1/models/usage": {"GET": ADMIN},
    "/platform/v1/models/analytics": {"GET": ADMIN},
    "/platform/v1/models/billing-events": {"GET": ADMIN},
    "/platform/v1/account/usage": {"GET": ADMIN},
    "/platform/v1/account/billing": {"GET": ADMIN},
    "/platform/v1/account/limits": {"PUT": OPERATOR},
    "/platform/v1/account/credits": {"POST": OPERATOR},
    "/platform/v1/account/invoices/{month}": {"GET": ADMIN},
    "/rest/tokens": {"POST": API},
    "/rest/tokens/realtime": {"POST": API},
    "/rest/storage/auth/token": {"POST": API},
    "/rest/storage/upload/initiate": {"POST": API},
    "/rest/storage/upload/initiate-multipart": {"POST": API},
    "/cdn/files/upload": {"POST": API},
    "/cdn/files/upload/multipart": {"POST": API},
    "/cdn/files/{key}/{name}": {"PUT": TOKEN, "GET": CAPABILITY},
    "/cdn/files/{key}/{name}/multipart/{upload}/complete": {"POST": TOKEN},
    "/cdn/files/{key}/{name}/multipart/{upload}/{number:int}": {"PUT": TOKEN},
    "/cdn/files/{key}": {"GET": CAPABILITY},
    "/openai/v1/models": {"GET": READ},
    "/openai/v1/models/{model:path}": {"GET": READ},
    "/openai/v1/images/generations": {"POST": API},
    "/openai": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), OPEN),
    "/openai/{rest:path}": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), OPEN),
    "/replicate/v1/predictions": {"GET": READ, "POST": API},
    "/replicate/v1/predictions/{prediction}": {"GET": READ},
    "/replicate/v1/predictions/{prediction}/cancel": {"POST": API},
    "/replicate/v1/predictions/{prediction}/stream": {"GET": TOKEN},
    "/replicate/v1/files": {"GET": READ, "POST": API},
    "/replicate/v1/files/{file}": {"GET": READ, "DELETE": API},
    "/replicate/v1/account": {"GET": READ},
    "/replicate/v1/webhooks/default/secret": {"GET": API},
    "/replicate/v1/hardware": {"GET": READ},
    "/replicate/v1/models": {"GET": READ, "QUERY": READ},
    "/replicate/v1/models/{model:path}": {"GET": READ},
    "/replicate/v1/models/{model:path}/predictions": {"POST": API},
    "/replicate/v1/models/{model:path}/versions": {"GET": READ},
    "/replicate/v1/models/{model:path}/versions/{version}": {"GET": READ},
    "/replicate": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"), OPEN),
    "/replicate/{rest:path}": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"), OPEN),
    "/queue/{endpoint:path}": dict.fromkeys(("GET", "POST", "PUT", "PATCH"), API),
    "/{endpoint:path}/stream": dict.fromkeys(("GET", "POST", "PUT", "PATCH"), API),
    "/{endpoint:path}": dict.fromkeys(("GET", "POST", "PUT", "PATCH"), API) | {"WEBSOCKET": API},
}
for one in ("/queue/requests/{request_id}", "/queue/{app:path}/requests/{request_id}"):
    SERVED[one] = SERVED[f"{one}/response"] = SERVED[f"{one}/status"] = {"GET": READ}
    SERVED[f"{one}/status/stream"] = {"GET": READ}
    SERVED[f"{one}/cancel"] = {"PUT": API, "POST": API}

REQUESTS = {"request_id", "prediction"}  # parameters of paths that name a tenant's request
FILES = {"file"}
KEYS = {"key_id"}
BODIES: dict[str, dict[str, Any]] = {
    "/platform/v1/keys": {"alias": "made"},
    "/platform/v1/keys/{key_id}/rotate": {"overlap_seconds": 3600},
    "/platform/v1/tenants": {"name": "made"},
    "/rest/tokens": {"allowed_apps": ["blank"]},
    "/rest/tokens/realtime": {"allowed_apps": ["blank"]},
    "/replicate/v1/predictions": {"version": "test/blank", "input": {"prompt": "a fox"}},
    "/replicate/v1/models/{model:path}/predictions": {"input": {"prompt": "a fox"}},
    "/openai/v1/images/generations": {"model": "test/blank", "prompt": "a fox"},
}


@dataclass(frozen=True)
class Call:
    """One method of one route."""

    path: str
    method: str

    @property
    def takes(self) -> str:
        return SERVED[self.path][self.method]

    @property
    def parameters(self) -> set[str]:
        return set(re.findall(r"{(\w+)", self.path))

    def names(self, things: set[str]) -> bool:
        return bool(self.parameters & things)

    @property
    def names_a_tenants_own(self) -> bool:
        return self.names(REQUESTS | FILES | KEYS)

    def send(self, http: httpx2.Client, ids: dict[str, str], query: str = "") -> httpx2.Response:
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda match: ids[match[1]], self.path)
        body = None if self.method == "GET" else BODIES.get(self.path, {"prompt": "a fox"})
        return http.request(self.method, f"{path}{query}", json=body)


CALLS = [Call(path, method) for path, methods in SERVED.items() for method in methods if method != "WEBSOCKET"]
KEYED = [call for call in CALLS if call.takes in (READ, API, ADMIN, OPERATOR)]


class Household:
    """Two tenants; the first has one of everything."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.waits, self.done = api.submit(), api.done()
        with api.http() as http:
            asked = http.post("/cdn/files/upload", content=picture(), headers={"x-fal-file-name": "own.png"})
            self.file = str(asked.json()["access_url"]).split("/files/")[1].partition("/")[0]
            made = http.post("/platform/v1/keys", json={"alias": "spare", "scope": "admin"}).json()
            self.spare_id, self.spare = str(made["key_id"]), str(made["key"])
            asked = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "big.bin"}).json()
            self.pending, _, _, self.upload = asked["upload_url"].split("/files/")[1].split("/", 3)
        self.stranger = api.stranger()
        self.kinds = {kind: self._key(scopes) for kind, scopes in KINDS.items()}

    def _key(self, scopes: tuple[str, ...], **more: Any) -> str:
        return self.api.call(self.api.keys.create(DEFAULT_TENANT, "made", scopes, **more)).text

    def ended(self) -> Iterator[tuple[str, str | None]]:
        """Keys that are none, by what is wrong with them."""
        api, key_id = self.api, self.api.key.partition(":")[0]
        yield "no key", None
        yield "nonsense", "nonsense"
        yield "a wrong secret", f"{key_id}:{'0' * 64}"
        yield "another's secret", f"{key_id}:{self.stranger.partition(':')[2]}"
        revoked = self._key((API, ADMIN))
        api.call(api.keys.revoke(DEFAULT_TENANT, revoked.partition(":")[0]))
        yield "a revoked key", revoked
        yield "an expired key", self._key((API, ADMIN), expires_us=1)
        rotated = self._key((API, ADMIN))
        api.call(api.keys.rotate(DEFAULT_TENANT, rotated.partition(":")[0], 0))
        yield "a rotated key", rotated

    def ids(self, **changes: str) -> dict[str, str]:
        """Everything that a path may name: what is the first tenant's, and what is anybody's."""
        found = {"request_id": self.waits, "prediction": self.waits, "file": self.file, "key": self.file}
        found |= {"key_id": self.spare_id, "tenant": DEFAULT_TENANT, "name": "own.png", "number": "1"}
        found |= {"app": "test/blank", "endpoint": "test/blank", "model": "test/blank", "version": "1"}
        return {**found, "upload": "0-token", "rest": "nothing", "id": self.waits, "month": "2026-05", **changes}

    def unknown(self) -> dict[str, str]:
        """The same, of what nobody has."""
        nobody = {name: str(uuid.uuid4()) for name in (*REQUESTS, *KEYS)}
        return self.ids(**nobody, **{name: new_key() for name in FILES})

    def intact(self) -> bool:
        """Whether everything is as it was."""
        with self.api.http(key=self.spare) as http:
            kept = [
                http.get(f"/cdn/files/{self.file}").status_code,
                http.get(f"/queue/requests/{self.done}").status_code,
                http.get(f"/queue/requests/{self.waits}/status").status_code,
            ]
        return kept == [200, 200, 202] and self.api.state(self.waits) == "queued"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with running(tmp_path_factory.mktemp("tenancy") / "data") as api:
        found = Household(api)
        yield found
        assert found.intact()


def told(response: httpx2.Response, ids: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """All that an answer says, but for the names that its sender gave and what differs between any two answers."""
    body, headers = response.text, dict(response.headers)
    for name in ids.values():
        if len(name) > 20:
            body = body.replace(name, "NAME")
    for each in ("date", "x-fal-request-id", "x-request-id", "content-length"):
        headers.pop(each, None)
    return response.status_code, body, headers


def test_every_route_is_known_here(house: Household) -> None:
    served: dict[str, set[str]] = {}
    for route in routes(house.api.services):
        assert isinstance(route, Route | WebSocketRoute)
        methods = (route.methods or set()) - {"HEAD"} if isinstance(route, Route) else {"WEBSOCKET"}
        served.setdefault(route.path, set()).update(methods)
    assert served == {path: set(methods) for path, methods in SERVED.items()}, "say in SERVED what a new route takes"


@pytest.mark.parametrize("call", KEYED, ids=str)
def test_nobody_enters_without_a_good_key(house: Household, call: Call) -> None:
    answers = {}
    for what, key in house.ended():
        with house.api.http(key=key) as http:
            answers[what] = told(call.send(http, house.ids()), house.ids())
    assert {what: answer[0] for what, answer in answers.items()} == dict.fromkeys(answers, 401)
    bodies = {answer[1] for what, answer in answers.items() if what != "no key"}
    assert len(bodies) == 1, "nothing tells one wrong key from another"


@pytest.mark.parametrize("call", KEYED, ids=str)
def test_no_key_does_more_than_its_kind(house: Household, call: Call) -> None:
    """The tenant's own keys, on ids that nobody has: they are let in or not by what they are."""
    enough = {READ: 0, API: 1, ADMIN: 2, OPERATOR: 2}[call.takes]
    for rank, kind in enumerate(("metrics", "read-only", "api", "admin"), start=-1):
        if rank < enough:
            with house.api.http(key=house.kinds[kind]) as http:
                answer = call.send(http, house.ids())
            assert answer.status_code == 403, (kind, answer.text)
        elif call.names_a_tenants_own:
            with house.api.http(key=house.kinds[kind]) as http:
                answer = call.send(http, house.unknown())
            assert answer.status_code == 404, (kind, answer.text)


@pytest.mark.parametrize("call", [call for call in KEYED if call.names_a_tenants_own], ids=str)
def test_what_is_another_tenants_is_not_there(house: Household, call: Call) -> None:
    for request_id in (house.waits, house.done):
        mine, nobodys = house.ids(request_id=request_id, prediction=request_id), house.unknown()
        with house.api.http(key=house.stranger) as http:
            answer = told(call.send(http, mine), mine)
            assert answer == told(call.send(http, nobodys), nobodys)
        assert answer[0] == 404
    assert house.intact()


@pytest.mark.parametrize("call", [call for call in KEYED if call.names(REQUESTS)], ids=str)
def test_a_strangers_token_sees_nothing_either(house: Household, call: Call) -> None:
    with house.api.http(key=house.stranger) as http:
        token = http.post("/rest/tokens", json={"allowed_apps": ["blank"]}).json()
    mine, nobodys = house.ids(), house.unknown()
    with house.api.http(key=None) as http:
        answer = told(call.send(http, mine, f"?fal_jwt_token={token}"), mine)
        assert answer == told(call.send(http, nobodys, f"?fal_jwt_token={token}"), nobodys)
    assert answer[0] in (403, 404)
    assert house.intact()


@pytest.mark.parametrize(
    "call", [call for call in KEYED if call.takes == READ and not call.names_a_tenants_own], ids=str
)
def test_lists_hold_the_callers_own_alone(house: Household, call: Call) -> None:
    with house.api.http(key=house.stranger) as http:
        answer = call.send(http, house.ids())
    for own in (house.waits, house.done, house.file, house.spare_id):
        assert own not in answer.text
    assert not re.search(rf'"{DEFAULT_TENANT}"(?!:)', answer.text)


def test_a_strangers_admin_key_manages_no_tenants_and_sees_no_other(house: Household) -> None:
    with house.api.http(key=house.stranger) as http:
        for call in (call for call in KEYED if call.takes == OPERATOR):
            assert call.send(http, house.ids()).status_code == 403
        listed = http.get("/platform/v1/keys").json()["keys"]
        assert [key["alias"] for key in listed] == ["its"]
        for path in ("/platform/v1/keys", "/platform/v1/limits"):
            answers = [http.get(path, params={"tenant_id": name}) for name in (DEFAULT_TENANT, "nobody")]
            assert [answer.status_code for answer in answers] == [403, 403]
            bodies = [answer.text.replace(DEFAULT_TENANT, "T").replace("nobody", "T") for answer in answers]
            assert bodies[0] == bodies[1]


@pytest.mark.parametrize("call", [call for call in CALLS if call.takes == TOKEN], ids=str)
def test_a_key_is_of_no_use_where_a_token_is_asked_for(house: Household, call: Call) -> None:
    for key in (None, house.stranger, house.api.key):
        with house.api.http(key=key) as http:
            assert call.send(http, house.ids()).status_code == 401


def test_a_token_for_one_file_writes_no_other(house: Household) -> None:
    tried = [call for call in CALLS if call.takes == TOKEN and "upload" in call.parameters]
    assert tried
    for call in tried:
        with house.api.http(key=None) as http:
            assert call.send(http, house.ids(key=house.file, upload=house.upload)).status_code == 401
            assert call.send(http, house.ids(key=new_key(), upload=house.upload)).status_code == 401


def test_a_capability_is_not_guessed(house: Household) -> None:
    for call in (call for call in CALLS if call.takes == CAPABILITY):
        for key in (None, house.stranger, house.api.key):
            with house.api.http(key=key) as http:
                assert call.send(http, house.ids()).status_code == 200
                assert call.send(http, house.ids(key=new_key())).status_code == 404
                assert call.send(http, house.ids(key=house.pending)).status_code == 404


def test_a_connection_needs_a_good_key_too(house: Household) -> None:
    for what, key in house.ended():
        with opened(house.api, key=key) as socket:
            assert hear(socket)["error"] == "Unauthorized", what
    with opened(house.api, key=house.kinds["read-only"]) as socket:
        assert hear(socket)["error"] == "forbidden"


def test_the_pages_connection_needs_a_token_of_its_own(house: Household) -> None:
    with house.api.http() as http:
        other = http.post("/rest/tokens", json={"allowed_apps": ["blank"]}).json()
    for token in (house.api.key, other, ""):
        with connect(f"ws://localhost:{house.api.port}/api/page/live", proxy=None) as socket:
            socket.send(json.dumps({"token": token}))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_a_key_for_some_models_runs_no_other(house: Household) -> None:
    narrow = house.api.call(house.api.keys.create(DEFAULT_TENANT, "narrow", models=("test/blank/deep/*",))).text
    generating = [call for call in KEYED if call.names({"endpoint", "model"}) or call.path in BODIES]
    tried = [call for call in generating if (call.method, call.takes) == ("POST", API) and "tokens" not in call.path]
    assert len(tried) == 6
    with house.api.http(key=narrow) as http:
        for call in tried:
            answer = call.send(http, house.ids())
            assert answer.status_code == 403, call
            assert "test/blank/deep/*" in answer.text
        token = http.post("/rest/tokens", json={"allowed_apps": ["blank"]}).json()
        assert http.get("/queue/requests/" + house.done).status_code == 200, "what its tenant made it may see"
    with house.api.http(key=None) as http:
        asked = {"prompt": "a fox"}
        assert http.post(f"/queue/test/blank?fal_jwt_token={token}", json=asked).status_code == 403
        made = http.post(f"/queue/test/blank/deep/down?fal_jwt_token={token}", json=asked)
        assert made.status_code == 200, "nor does a token of it"


def test_a_token_of_one_app_sees_no_request_of_another(house: Household) -> None:
    with house.api.http() as http:
        token = http.post("/rest/tokens", json={"allowed_apps": ["test/other", "test/blank/deep/down"]}).json()
    with house.api.http(key=None) as http:
        for path in ("test/other", "test/blank/deep/down"):
            for tail in ("", "/status", "/response"):
                answer = http.get(f"/queue/{path}/requests/{house.done}{tail}?fal_jwt_token={token}")
                assert answer.status_code == 404
            assert http.put(f"/queue/{path}/requests/{house.waits}/cancel?fal_jwt_token={token}").status_code == 404
    assert house.intact()
