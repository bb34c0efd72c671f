"""Every description that is published is true: what schemathesis makes of it is answered so, never by an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import content_type_conformance

from tests.api.conftest import Api, running
from tests.api.test_fuzz import Hands

SHORT, LONG = 2, 400  # examples of an operation, right ones and wrong ones each
FEW = 5  # in the short run, one of so many documents
TRUE = [not_a_server_error, content_type_conformance]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("described") / "data") as api:
        hands = Hands(api)
        try:
            yield api
        finally:
            hands.stop()


def documents(api: Api) -> Iterator[dict[str, Any]]:
    """fal's of every endpoint; and cog's, at the address by which Replicate's clients reach the same."""
    names = [endpoint.id(card) for card in api.services.catalog.cards() for endpoint in card.endpoints]
    with api.http() as http:
        for name in names:
            answer = http.get("/api/openapi/queue/openapi.json", params={"endpoint_id": name})
            assert answer.status_code == 200, answer.text
            yield answer.json()
            model = http.get(f"/replicate/v1/models/{name}").json()
            document = model["latest_version"]["openapi_schema"]
            described = document["paths"].pop("/predictions")
            paths = {f"/models/{name}/predictions": described}
            yield {**document, "paths": paths, "servers": [{"url": f"{api.url}/replicate/v1"}]}


def exercise(api: Api, document: dict[str, Any], times: int) -> int:
    """How many were sent."""
    schema = schemathesis.openapi.from_dict(document)
    [server] = document["servers"]
    sent, known = 0, {"request_id": api.submit()}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=times, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(operation.as_strategy(generation_mode=mode))
            def answered(case: Case[Any]) -> None:
                nonlocal sent
                sent += 1
                if case.path_parameters and sent % 2:
                    case.path_parameters = known
                case.call_and_validate(
                    base_url=server["url"], headers={"Authorization": f"Key {api.key}"}, checks=TRUE, timeout=30
                )

            answered()
    return sent


def test_what_is_described_is_so(described: Api) -> None:
    some = list(documents(described))[::FEW]
    assert sum(exercise(described, document, SHORT) for document in some) >= SHORT * len(some)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_described_is_so_however_often_it_is_asked(described: Api) -> None:
    assert sum(exercise(described, document, LONG) for document in documents(described)) > 5000
