"""The texts for coding assistants: true to the schemas, and with this server's own addresses."""

from __future__ import annotations

import json
import re

from tests.api.conftest import Api


def read(api: Api, path: str) -> str:
    with api.http(key=None) as http:
        answer = http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    return answer.text


def test_the_overview_names_every_model_and_each_link_answers(api: Api) -> None:
    text = read(api, "/llms.txt")
    with api.http(key=None) as http:
        site = str(http.base_url).rstrip("/")
        models = http.get("/platform/v1/models?limit=100").json()["models"]
        links = re.findall(r"\]\((http[^)]*)\)", text)
        assert len(links) == len(models) + 3
        for link in links:
            assert link.startswith(site)
            assert http.get(link).status_code == 200, link
    assert all(f"`{model['endpoint_id']}`" in text for model in models)
    assert "{" not in text.replace('{"prompt', "").replace("${LATERNA_URL}", "").split("```js")[0]


def test_a_model_s_text_has_every_field_and_a_call_that_is_taken(api: Api) -> None:
    text = read(api, "/models/test/blank/llms.txt")
    with api.http() as http:
        document = http.get("/api/openapi/queue/openapi.json?endpoint_id=test/blank").json()
        for title, schema in document["components"]["schemas"].items():
            if title.endswith(("Input", "Output")):
                assert all(f"- `{name}` (" in text for name in schema["properties"])
        call = re.search(r"curl (\S+) .*-d '(.*)'", text)
        assert call is not None
        assert call[1].endswith("/test/blank")
        assert http.post("/queue/test/blank", json=json.loads(call[2])).status_code == 200


def test_a_model_that_is_none_has_no_text(api: Api) -> None:
    with api.http(key=None) as http:
        assert http.get("/models/no/such/llms.txt").status_code == 404
