"""Whoever wants to check a file gets the authority, and nothing besides."""

from __future__ import annotations

from laterna.api.provenance import PATH
from laterna.media.signatory import Signatory, authority
from tests.api.conftest import Api


def test_anybody_gets_the_authority_and_no_key(api: Api) -> None:
    folder = api.services.settings.signatory
    with api.http(key=None) as http:
        assert http.get(PATH).status_code == 404
        Signatory.open(folder)
        answer = http.get(PATH)
    assert (answer.status_code, answer.text) == (200, authority(folder))
    assert answer.text.count("-----BEGIN") == 1
