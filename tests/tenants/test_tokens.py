"""Short-lived tokens: good for what they say, for as long as they say, from this folder alone."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import jwt
import pytest

from laterna.clock import ManualClock
from laterna.errors import Unauthorized
from laterna.tenants.caller import API, Caller
from laterna.tenants.tokens import FILE, Tokens

CALLER = Caller(tenant="t", key_id="k", scopes=frozenset({API}))


def test_a_token_says_whose_it_is_until_it_ends(tmp_path: Path) -> None:
    clock = ManualClock()
    tokens = Tokens.open(tmp_path, clock)
    text = tokens.mint(CALLER, "upload", 60, ["a/b", "c"])
    clock.advance(59)
    said = Tokens.open(tmp_path, clock).verify(text, "upload")
    assert (said.tenant, said.key_id, said.apps) == ("t", "k", ("a/b", "c"))
    clock.advance(2)
    with pytest.raises(Unauthorized, match="ended"):
        tokens.verify(text, "upload")


def test_a_token_is_good_for_its_purpose_and_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Tokens.open(tmp_path / "one", ManualClock()), Tokens.open(tmp_path / "two", ManualClock())
    text = one.mint(CALLER, "upload", 60)
    with pytest.raises(Unauthorized, match="upload"):
        one.verify(text, "realtime")
    with pytest.raises(Unauthorized):
        two.verify(text, "upload")
    assert stat.S_IMODE((tmp_path / "one" / FILE).stat().st_mode) == 0o600


def test_no_token_lives_longer_than_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    tokens = Tokens.open(tmp_path, clock)
    said = tokens.verify(tokens.mint(CALLER, "upload", 10**9), "upload")
    assert said.expires_us - clock.now_us() <= 24 * 3600 * 1_000_000


def test_forgeries_are_refused(tmp_path: Path) -> None:
    tokens = Tokens.open(tmp_path, ManualClock())
    good = tokens.mint(CALLER, "upload", 60)
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "victim"}).encode()).decode().rstrip("=")
    secret = (tmp_path / FILE).read_text().strip()
    incomplete = {name: value for name, value in claims.items() if name != "exp"}
    forged = [
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, "x" * 64, "HS256"),
        jwt.encode(incomplete, secret, "HS256"),
        *("", "x", "\ud800", "a.b.c", good + "x"),
    ]
    for text in forged:
        with pytest.raises(Unauthorized):
            tokens.verify(text, "upload")
