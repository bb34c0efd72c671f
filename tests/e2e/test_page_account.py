"""The page's usage, keys and docs in a real Chromium on a real server."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import SECONDS, Visit, launched, visiting
from tests.e2e.conftest import Server

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    with visiting(browser, server) as found:
        yield found


def test_a_key_is_made_works_is_rotated_and_is_revoked(visit: Visit) -> None:
    page = visit.sign_in("/settings")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill("= a farm")
    page.get_by_label("Models").fill("test/*")
    page.get_by_label("Expires").select_option("in 30 days")
    page.get_by_role("button", name="Make the key").click()
    first = page.locator("[data-secret]").inner_text().strip()
    page.get_by_role("button", name="I have kept it").click()
    row = page.get_by_role("row").filter(has_text="= a farm")
    expect(row).to_contain_text("test/*")
    with visit.server.http(Authorization=f"Key {first}") as http:
        assert http.post("/test/blank", json={"prompt": "by its key", "num_images": 3}).status_code == 200
        assert http.post("/laterna/sprite", json={"prompt": "not this"}).status_code == 403
        row.get_by_role("button", name="Rotate").click()
        page.get_by_label("The former one ends").select_option("at once")
        page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
        expect(page.locator("[data-secret]")).not_to_contain_text(first)
        second = page.locator("[data-secret]").inner_text().strip()
        page.get_by_role("button", name="I have kept it").click()
        assert http.get("/platform/v1/limits").status_code == 401
    with visit.server.http(Authorization=f"Key {second}") as http:
        assert http.get("/platform/v1/limits").status_code == 200
        row.get_by_role("button", name="Revoke").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(row).to_have_count(0)
        assert http.get("/platform/v1/limits").status_code == 401


def test_the_operator_makes_a_tenant_and_its_key(visit: Visit) -> None:
    page = visit.sign_in("/operator")
    page.get_by_role("button", name="New tenant").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("studio")
    dialog.get_by_label("Weight").fill("3")
    dialog.get_by_label("Running at once").fill("8")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="studio")
    row.get_by_role("button", name="New key").click()
    dialog.get_by_label("Name").fill("its first")
    dialog.get_by_role("button", name="Make the key").click()
    key = page.locator("[data-secret]").inner_text().strip()
    page.get_by_role("button", name="I have kept it").click()
    row.get_by_role("button", name="Change").click()
    dialog.get_by_label("Running at once").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    with visit.server.http(Authorization=f"Key {key}") as http:
        told = http.get("/platform/v1/limits").json()
    assert (told["tenant"], told["share"]["weight"], told["limits"]["concurrency"]) == ("studio", 3, None)


def test_usage_is_drawn_told_in_numbers_and_taken_away(visit: Visit, tmp_path: Path) -> None:
    with visit.server.http() as http:
        made = http.post("/platform/v1/keys", json={"alias": "=SUM(A1)"}).json()
    with visit.server.http(Authorization=f"Key {made['key']}") as http:
        assert http.post("/test/blank", json={"prompt": "charged", "num_images": 3}).status_code == 200
    page = visit.sign_in("/usage")
    expect(page.get_by_role("img", name="Requests of each of the last 30 days, by model")).to_be_visible()
    page.get_by_role("radio", name="Key").check()
    page.get_by_role("radio", name="Spend").check()
    row = page.get_by_role("row").filter(has_text="=SUM(A1)")
    expect(row).to_contain_text(re.compile(r"3 pictures.*\$0\.003"))
    heights = page.locator(".column:nth-last-child(-n+2) .part").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert max(heights) > 50, "today's column is drawn, or yesterday's, should midnight have passed"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export CSV").click()
    saved.value.save_as(tmp_path / "usage.csv")
    with (tmp_path / "usage.csv").open(newline="", encoding="utf-8") as lines:
        (line,) = [one for one in csv.DictReader(lines) if one["api_key_id"] == made["key_id"]]
    assert (line["quantity"], line["cost"], line["currency"]) == ("3", "0.003", "USD")
    assert line["key"] == "'=SUM(A1)", "no spreadsheet takes a key's name for a formula"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Invoice").click()
    assert "test/blank" in Path(saved.value.path()).read_text()


@pytest.mark.slow
def test_a_key_that_may_not_is_told_so(visit: Visit) -> None:
    with visit.server.http() as http:
        made = http.post("/platform/v1/keys", json={"alias": "reader", "scope": "read-only"}).json()
    page = visit.page
    page.goto(f"{visit.url}/usage")
    page.get_by_label("Key", exact=True).fill(made["key"])
    page.keyboard.press("Enter")
    expect(page.get_by_text("Usage is shown to keys with the scope ADMIN.")).to_be_visible()
    page.get_by_role("link", name="Keys and settings").click()
    expect(page.get_by_text("Keys are managed with a key that has the scope ADMIN.")).to_be_visible()
    expect(page.get_by_text("Your share of the machine now")).to_be_visible()
    expect(page.get_by_role("link", name="Operator")).to_have_count(0)


@pytest.mark.slow
def test_the_docs_are_of_this_server_and_their_links_lead_somewhere(visit: Visit) -> None:
    page = visit.sign_in("/docs")
    expect(page.get_by_label("On any other machine:")).to_contain_text(f"LATERNA_URL={visit.url}")
    expect(page.locator("[data-snippet]")).to_contain_text("fal_client.subscribe")
    links = page.locator("main a[target=_blank]").evaluate_all("all => all.map(one => one.href)")
    assert len(links) >= 4
    with visit.server.http() as http:
        assert {http.get(link).status_code for link in links} == {200}
        assert "laterna/sprite" in http.get("/llms.txt").text
    page.locator("main").get_by_role("link", name="Sprite", exact=True).click()
    expect(page.get_by_role("heading", name="Sprite")).to_be_visible()


@pytest.mark.slow
def test_what_became_of_a_webhook_is_told(visit: Visit) -> None:
    with visit.server.http() as http:
        asked = http.post("/queue/test/blank?fal_webhook=https://nobody.invalid/hook", json={"prompt": "tell"}).json()
    page = visit.sign_in(f"/requests/{asked['request_id']}")
    expect(page.get_by_text("https://nobody.invalid/hook")).to_be_visible()
    tries = page.get_by_role("listitem").filter(has_text="could not be resolved")
    expect(tries.first).to_be_visible()
    page.get_by_role("button", name="Deliver again").click()
    expect(page.get_by_text("Will be delivered again")).to_be_visible()
    expect(tries).not_to_have_count(1)
