"""Signatures as fal's receivers check them, through rotations, with receivers that fetched the keys at any time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from laterna.clock import ManualClock
from laterna.dispatch.signing import AHEAD_SECONDS, FILE, SigningKeys
from laterna.errors import ConfigError
from tests.dispatch.receiver import LEEWAY_SECONDS, Receiver

BODY = b'{"request_id": "r", "status": "OK"}'


def receiver(keys: SigningKeys, clock: ManualClock) -> Receiver:
    return Receiver(keys.jwks, lambda: clock.now_us() / 1e6)


def test_a_receiver_believes_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    clock = ManualClock()
    keys = SigningKeys.open(tmp_path, clock)
    listens = receiver(keys, clock)
    headers = keys.headers("request", "tenant", BODY)
    assert listens.verifies(headers, BODY)
    assert not listens.verifies(headers, BODY + b" ")
    for name, value in headers.items():
        changed = value[:-1] + ("0" if value[-1] != "0" else "1")
        assert not listens.verifies({**headers, name: changed}, BODY)
        assert not listens.verifies({n: v for n, v in headers.items() if n != name}, BODY)
    stranger = SigningKeys.open(_folder(tmp_path / "other"), clock).headers("request", "tenant", BODY)
    assert not listens.verifies(stranger, BODY)
    clock.advance(LEEWAY_SECONDS + 1)
    assert not listens.verifies(headers, BODY)


def test_the_keys_are_private_and_outlive_the_server(tmp_path: Path) -> None:
    clock = ManualClock()
    keys = SigningKeys.open(tmp_path, clock)
    path = tmp_path / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKeys.open(tmp_path, clock).jwks() == keys.jwks()
    [jwk] = keys.jwks()["keys"]
    assert {"kty": "OKP", "crv": "Ed25519"}.items() <= jwk.items()
    assert "d" not in jwk


@pytest.mark.parametrize("seed", range(5))
def test_no_receiver_ever_refuses_through_any_rotations(tmp_path: Path, seed: int) -> None:
    chance, clock = random.Random(seed), ManualClock()
    keys = SigningKeys.open(tmp_path, clock)
    listeners = [receiver(keys, clock)]
    seen = set[str]()
    for _ in range(400):
        clock.advance(chance.uniform(0, 3 * 3600))
        if chance.random() < 0.1:
            listeners.append(receiver(keys, clock))
        if chance.random() < 0.1:
            try:
                keys.rotate()
            except ConfigError:
                assert len(keys.jwks()["keys"]) > 1
        headers = keys.headers("r", "t", BODY)
        clock.advance(chance.uniform(0, LEEWAY_SECONDS - 1))
        seen |= {jwk["kid"] for jwk in keys.jwks()["keys"]}
        assert all(listener.verifies(headers, BODY) for listener in listeners)
        assert len(keys.jwks()["keys"]) <= 4
    assert len(seen) > 4, "hardly any rotation was tried"


def test_a_key_that_leaked_is_void_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    keys = SigningKeys.open(tmp_path, clock)
    leaked = keys.headers("r", "t", BODY)
    keys.rotate()
    with pytest.raises(ConfigError, match="does not sign yet"):
        keys.rotate()
    keys.rotate(at_once=True)
    listens = receiver(keys, clock)
    assert not listens.verifies(leaked, BODY)
    assert listens.verifies(keys.headers("r", "t", BODY), BODY)


def test_a_new_key_is_published_before_it_signs(tmp_path: Path) -> None:
    clock = ManualClock()
    keys = SigningKeys.open(tmp_path, clock)
    old = receiver(keys, clock)
    old.verifies(keys.headers("r", "t", BODY), BODY)
    clock.advance(10)
    keys.rotate()
    assert len(keys.jwks()["keys"]) == 2
    assert old.verifies(keys.headers("r", "t", BODY), BODY)
    clock.advance(AHEAD_SECONDS)
    assert len(keys.jwks()["keys"]) == 2, "what the old one signed may still be under way"
    clock.advance(AHEAD_SECONDS)
    assert len(keys.jwks()["keys"]) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '[{"id": "a", "created_us": 1, "private": "AAAA"}]'])
def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    keys = SigningKeys.open(tmp_path, ManualClock())
    with pytest.raises(ConfigError, match=FILE):
        keys.jwks()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
