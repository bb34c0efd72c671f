"""The page: served where a browser asks, as one whole, and able to run nothing but its own scripts."""

from __future__ import annotations

import gzip
import re

import pytest

from laterna.api.page import SITE, VIEWS, origin, policy
from tests.api.conftest import Api, running

FIRST_VIEW_BYTES = 200_000  # of compressed script


@pytest.mark.parametrize("path", ["/", "/models/test/blank/api", *(view for view in VIEWS if "{" not in view)])
def test_every_view_is_the_page(api: Api, path: str) -> None:
    with api.http(key=None, accept="text/html,*/*") as http:
        answer = http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<base href="/">' in answer.text
    assert answer.headers["cache-control"] == "no-cache"


def test_programs_are_greeted_and_endpoints_stay_where_they_are(api: Api) -> None:
    with api.http() as http:
        assert http.get("/").json()["name"] == "laterna"
        assert http.post("/models/none").status_code == 404
        assert http.get("/gallery/none").json()["error_type"] == "endpoint_not_found"


def test_its_policy_runs_only_its_own_scripts(api: Api) -> None:
    with api.http(key=None, accept="text/html") as http:
        answer = http.get("/")
    said = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in said
    assert "unsafe" not in said
    for script in re.findall(r"<script[^>]*>(.*?)</script>", answer.text, re.DOTALL):
        assert not script.strip(), "no script stands in the page itself"
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)


def test_sockets_are_allowed_to_this_server_alone() -> None:
    assert "connect-src 'self' wss://a.example:8443;" in policy("https://a.example:8443/below")
    assert "connect-src 'self' ws://localhost:8000;" in policy("http://localhost:8000")


def test_pictures_may_come_from_the_bucket_that_readers_are_sent_to() -> None:
    said = policy("http://localhost:8000", origin("https://bucket.s3.example:9000/media/x?X-Amz-Signature=y"))
    assert "img-src 'self' data: blob: https://bucket.s3.example:9000;" in said
    assert "script-src 'self';" in said


def test_assets_last_and_come_compressed(api: Api) -> None:
    script = next(path for path in (SITE / "assets").iterdir() if path.suffix == ".js")
    with api.http(key=None) as http:
        packed = http.get(f"/assets/{script.name}", headers={"accept-encoding": "gzip"})
        plain = http.get(f"/assets/{script.name}", headers={"accept-encoding": "identity"})
        assert http.get("/assets/none.js").status_code == 404
        assert http.get("/assets/..%2findex.html").status_code == 404
    assert packed.content == plain.content == script.read_bytes()
    assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    for answer in (packed, plain):
        assert answer.headers["content-type"] == "text/javascript"
        assert "immutable" in answer.headers["cache-control"]


def test_all_of_its_script_is_small() -> None:
    scripts = [path.read_bytes() for path in (SITE / "assets").glob("*.js")]
    assert sum(len(gzip.compress(script, 9)) for script in scripts) < FIRST_VIEW_BYTES


def test_behind_a_prefix_everything_is_below_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("prefix") / "data"
    with running(folder, trusted_proxies=("127.0.0.1",)) as api, api.http(key=None, accept="text/html") as http:
        prefixed = {"x-forwarded-prefix": '/studio"><script>'}
        assert '<base href="/studio&quot;&gt;&lt;script&gt;/">' in http.get("/gallery", headers=prefixed).text
