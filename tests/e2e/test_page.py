"""The page in a real Chromium on a real server: what people do with it, by mouse, by keyboard and on a phone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import SECONDS, Visit, launched, visiting
from tests.e2e.conftest import Server, laterna, wait_for
from tests.tools import node_folder

expect.set_options(timeout=SECONDS * 1000)
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SAVED = re.compile(r"/cdn/files/\w+")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    with visiting(browser, server) as found:
        yield found


def test_a_key_signs_in_for_the_tab(visit: Visit) -> None:
    page = visit.page
    page.goto(visit.url)
    page.get_by_label("Key", exact=True).fill("not:akey")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is no good key of this server.")
    assert "401" in visit.troubles.pop(), "the browser's own word on it"
    page.get_by_label("Key", exact=True).fill(visit.server.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    assert page.evaluate("JSON.stringify(localStorage)") == "{}", "the key stays in the tab"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.slow
def test_pictures_that_others_may_not_read_are_shown(visit: Visit) -> None:
    with visit.server.http() as http:
        http.headers["x-fal-object-lifecycle-preference"] = '{"initial_acl": {"default": "hide"}}'
        request = http.post("/queue/test/blank", json={"prompt": "a secret garden"}).json()["request_id"]
    visit.server.until(request, "COMPLETED", "test/blank")
    page = visit.sign_in("/gallery")
    shown = page.get_by_role("button", name="a secret garden").locator("img")
    wait_for(lambda: shown.evaluate("image => image.naturalWidth") == 64)
    page.get_by_role("button", name="a secret garden").click()
    large = page.get_by_role("dialog").get_by_alt_text("a secret garden")
    wait_for(lambda: large.evaluate("image => image.naturalWidth") == 64)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    page.goto(f"{visit.url}/requests/{request}")
    made = page.get_by_alt_text("Picture 1: a secret garden")
    wait_for(lambda: made.evaluate("image => image.naturalWidth") == 64)
    page.goto(f"{visit.url}/models")
    sample = page.locator(".model-card", has_text="test/blank").locator("img").first
    wait_for(lambda: sample.evaluate("image => image.naturalWidth") == 64)


@pytest.mark.slow
def test_models_are_found_by_their_words(visit: Visit) -> None:
    page = visit.sign_in()
    expect(page.get_by_role("link", name="Sprite")).to_be_visible()
    page.get_by_label("Search models").fill("built-in emoji")
    expect(page.locator(".model-card")).to_have_count(1)
    page.get_by_label("Search models").fill("nothing like it")
    expect(page.get_by_text("No model matches.")).to_be_visible()


def test_a_picture_sharpens_while_it_is_painted(visit: Visit) -> None:
    page = visit.sign_in("/models/laterna/sprite")
    page.get_by_label("Prompt", exact=True).fill("a red fox on a teal background")
    page.get_by_role("slider", name="Steps").fill("50")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.locator("img.preview")).to_be_visible()
    assert page.get_by_role("progressbar", name="Steps").get_attribute("aria-valuemax") == "50"
    picture = page.get_by_alt_text("Picture 1: a red fox on a teal background")
    expect(picture).to_be_visible()
    wait_for(lambda: picture.evaluate("image => image.naturalWidth") == 64)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    page.reload()
    expect(picture).to_be_visible()


def test_what_runs_is_cancelled(visit: Visit) -> None:
    page = visit.sign_in("/models/test/slow")
    page.get_by_label("Prompt", exact=True).fill("never to be")
    page.get_by_role("slider", name="Steps").fill("50")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("strong").filter(has_text="Painting")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".stage").get_by_text("Cancelled.").last).to_be_visible()
    assert "499" in visit.troubles.pop(), "the browser's own word on it"


@pytest.mark.slow
def test_the_form_is_the_schemas_and_the_seed_has_a_dice(visit: Visit) -> None:
    page = visit.sign_in("/models/fal-ai/flux/dev")
    page.get_by_role("radio", name="Portrait 9:16").check()
    page.get_by_role("radio", name="Custom").check()
    assert (page.get_by_label("Width").input_value(), page.get_by_label("Height").input_value()) == ("576", "1024")
    page.get_by_role("button", name="Roll the dice").click()
    assert page.get_by_label("Seed").input_value().isdecimal()
    expect(page.get_by_text("Accepted for compatibility")).to_have_count(0)
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.locator("[data-snippet]")).to_contain_text('"width": 576')
    page.get_by_role("link", name="Playground").click()
    page.get_by_role("button", name="Reset").click()
    assert page.get_by_label("Seed").input_value() == ""


@pytest.mark.slow
def test_a_file_is_uploaded_into_the_form(visit: Visit) -> None:
    page = visit.sign_in("/models/laterna/sprite")
    page.get_by_text("More options").click()
    page.locator("[data-field=loras] input[type=file]").set_input_files(
        {"name": "mine.safetensors", "mimeType": "application/octet-stream", "buffer": b"not weights"}
    )
    expect(page.get_by_label("Address or name 1")).to_have_value(SAVED)


@pytest.mark.slow
def test_a_wrong_field_is_named_where_it_stands(visit: Visit) -> None:
    page = visit.sign_in("/models/laterna/sprite")
    page.get_by_text("More options").click()
    page.get_by_label("Prompt", exact=True).fill("x")
    page.locator("[data-field=loras]").get_by_role("button", name="Add").click()
    page.get_by_label("Address or name 1").fill("../etc")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("[data-field=loras]").get_by_role("alert")).to_contain_text("A LoRA is named by a URL")
    assert visit.troubles, "the browser's own word on it"
    visit.troubles.clear()


@pytest.mark.slow
def test_a_shared_form_opens_as_it_was(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.sign_in("/models/test/blank")
    page.get_by_label("Prompt", exact=True).fill("één ‘fox’ 🦊")
    page.get_by_label("Seed").fill("41")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("button", name="Copy link to this form").click()
    link = page.evaluate("navigator.clipboard.readText()")
    page.evaluate("sessionStorage.removeItem('laterna.form.test/blank')")
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("één ‘fox’ 🦊")
    expect(page.get_by_label("Seed")).to_have_value("41")
    assert "#" not in page.url


def test_the_gallery_shows_compares_and_deletes(visit: Visit) -> None:
    for seed in (1, 2):
        visit.server.until(visit.server.submit("test/blank", prompt="to compare", seed=seed), "COMPLETED", "test/blank")
    page = visit.sign_in("/gallery")
    page.get_by_label("Search prompts").fill("to compare")
    expect(page.locator(".tile")).to_have_count(2)
    for tile in range(2):
        page.get_by_role("checkbox", name="Pick for comparison: to compare").nth(tile).check(force=True)
    page.get_by_role("button", name="Compare", exact=True).click()
    divide = page.get_by_label("Divide between the two")
    divide.press("Home")
    expect(page.locator(".compare img").last).to_have_attribute(
        "style", re.compile(r"inset\(0(px)? 0(px)? 0(px)? 0%\)")
    )
    page.keyboard.press("Escape")
    page.get_by_role("button", name="to compare", exact=True).first.click()
    url = page.locator(".details-picture img").get_attribute("src")
    assert url
    expect(page.get_by_role("dialog")).to_contain_text("Seed2")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog")).to_contain_text("Seed1")
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".tile")).to_have_count(1)
    with visit.server.http() as http:
        assert http.get(url).status_code == 404


@pytest.mark.slow
def test_requests_are_live_told_and_sent_again(visit: Visit) -> None:
    page = visit.sign_in("/requests")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    request = visit.server.submit(prompt="told while it runs", num_inference_steps=30)
    row = page.get_by_role("row").filter(has_text="told while it runs")
    expect(row.get_by_role("progressbar")).to_be_visible()
    expect(row.get_by_text("Done")).to_be_visible()
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name="told while it runs")).to_be_visible()
    expect(page.locator(".span-list")).to_contain_text("Painting")
    expect(page.get_by_text(request)).to_be_visible()
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text(request)).to_have_count(0)
    expect(page.get_by_text('"num_inference_steps": 30')).to_be_visible()


@pytest.mark.slow
def test_the_operator_sees_the_machine_under_load(visit: Visit) -> None:
    page = visit.sign_in("/operator")
    work = [visit.server.submit(prompt=f"load {n}", num_inference_steps=50) for n in range(3)]
    expect(page.locator(".work li").first).to_contain_text("test/slow@1")
    expect(page.get_by_role("img", name=re.compile("Share of each of the last seconds"))).to_be_visible()
    for request in work:
        visit.server.until(request, "COMPLETED")
    expect(page.locator(".work li")).to_have_count(0)
    expect(page.get_by_role("row", name=re.compile("Until it is done"))).to_be_visible()


@pytest.mark.parametrize(
    "client",
    ["Python", "JavaScript", *(pytest.param(one, marks=pytest.mark.slow) for one in ("cURL", "OpenAI", "Replicate"))],
)
def test_each_snippet_runs_as_it_stands(visit: Visit, client: str, tmp_path: Path) -> None:
    page = visit.sign_in("/models/test/blank")
    page.get_by_label("Prompt", exact=True).fill('it\'s a "quoted" \\ prompt 🦊')
    page.get_by_label("Seed").fill("5")
    page.get_by_role("spinbutton", name="Pictures").fill("2")
    page.get_by_role("link", name="API", exact=True).click()
    page.get_by_role("radio", name=client).check()
    code = page.locator("[data-snippet]").inner_text()
    assert len(SAVED.findall(run(visit.server, client, code, tmp_path))) == 2


def run(server: Server, client: str, code: str, folder: Path) -> str:
    """What the snippet prints."""
    if client == "cURL":
        variables = laterna(server.data, "env").stdout
        done = subprocess.run(["bash", "-c", f"{variables}\n{code}"], capture_output=True, text=True, check=False)
    else:
        name, program = ("app.mjs", "node") if client == "JavaScript" else ("app.py", sys.executable)
        where = node_folder() if client == "JavaScript" else folder
        path = where / f"snippet-{folder.name}-{name}"
        path.write_text(code)
        try:
            done = laterna(server.data, "exec", "--", program, str(path))
        finally:
            path.unlink()
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


VIEWS = (
    "/models",
    "/models/laterna/sprite",
    "/models/fal-ai/flux/dev/api",
    "/gallery",
    "/requests",
    "/usage",
    "/settings",
    "/docs",
    "/operator",
    "/models/no/such",
)
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
}


@pytest.mark.parametrize(
    "look", [look if look == "light" else pytest.param(look, marks=pytest.mark.slow) for look in LOOKS]
)
def test_every_view_is_accessible(browser: Browser, server: Server, look: str) -> None:
    request = server.submit("test/blank", prompt="for the scan")
    server.until(request, "COMPLETED", "test/blank")
    with visiting(browser, server, **LOOKS[look]) as visit:
        visit.page.goto(visit.url)
        visit.page.wait_for_selector("form")
        assert visit.findings() == []
        page = visit.sign_in()
        for view in (*VIEWS, f"/requests/{request}"):
            page.goto(f"{visit.url}{view}")
            page.wait_for_selector("h1, .failure")
            page.wait_for_load_state("networkidle")
            assert visit.findings() == [], view
            assert page.evaluate("document.documentElement.scrollWidth <= screen.width"), f"{view} is too wide"
        assert all("404" in trouble for trouble in visit.troubles), "the browser's own word on the model that is none"
        visit.troubles.clear()
        page.goto(f"{visit.url}/gallery")
        page.locator(".tile-open").first.click()
        page.wait_for_selector(".details")
        assert visit.findings() == []


def test_a_keyboard_reaches_everything(visit: Visit) -> None:
    page = visit.sign_in("/models/test/blank")
    expect(page.get_by_label("Prompt", exact=True)).to_be_visible()
    page.locator("body").press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    page.keyboard.type("typed")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_alt_text("Picture 1: typed")).to_be_visible()


@pytest.mark.slow
def test_it_speaks_dutch(browser: Browser, server: Server) -> None:
    with visiting(browser, server, locale="nl-NL") as visit:
        page = visit.sign_in()
        expect(page.get_by_role("heading", name="Modellen")).to_be_visible()
        assert page.locator("html").get_attribute("lang") == "nl"
        page.get_by_label("Taal").select_option("en")
        expect(page.get_by_role("heading", name="Models")).to_be_visible()


@pytest.mark.slow
def test_a_phone_has_it_all_in_reach(browser: Browser, server: Server) -> None:
    with visiting(browser, server, **PHONE) as visit:
        page = visit.sign_in("/models/test/blank")
        page.get_by_label("Prompt", exact=True).fill("by thumb")
        page.get_by_role("button", name="Generate").tap()
        expect(page.get_by_alt_text("Picture 1: by thumb")).to_be_visible()
        page.get_by_role("link", name="Gallery").tap()
        expect(page.get_by_role("button", name="by thumb", exact=True).first).to_be_visible()
