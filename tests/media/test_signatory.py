"""One key a folder, for its owner alone, whoever asks for it first."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from laterna.errors import ConfigError
from laterna.media.signatory import AUTHORITY, CERTIFICATE, KEY, Signatory, authority


def test_whoever_opens_it_has_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(Signatory.open, [tmp_path / "keys"] * 16))
    assert len(found) == 1
    assert found == {Signatory.open(tmp_path / "keys")}
    assert found != {Signatory.open(tmp_path / "others")}


def test_the_key_is_private_and_the_authoritys_is_nowhere(tmp_path: Path) -> None:
    Signatory.open(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    secrets = [path.name for path in tmp_path.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert secrets == [KEY]


def test_the_authority_vouches_for_the_signer_alone(tmp_path: Path) -> None:
    own = x509.load_pem_x509_certificate(Signatory.open(tmp_path).certificate)
    root = x509.load_pem_x509_certificate((authority(tmp_path) or "").encode())
    own.verify_directly_issued_by(root)
    assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_there_is_no_authority_before_the_first_start(tmp_path: Path) -> None:
    assert authority(tmp_path / "none") is None


def test_a_start_that_was_cut_short_is_made_up_for(tmp_path: Path) -> None:
    former = Signatory.open(tmp_path)
    (tmp_path / AUTHORITY).unlink()
    assert Signatory.open(tmp_path) != former


@pytest.mark.parametrize("name", [KEY, CERTIFICATE, AUTHORITY])
@pytest.mark.parametrize("harm", ["gone", "garbage", "another"])
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, name: str, harm: str) -> None:
    folder, other = tmp_path / "keys", tmp_path / "other"
    Signatory.open(folder)
    Signatory.open(other)
    if harm == "another":
        (folder / name).write_bytes((other / name).read_bytes())
    elif harm == "garbage":
        (folder / name).write_text("garbage")
    elif name == AUTHORITY:
        pytest.skip("without it all is made anew")
    else:
        (folder / name).unlink()
    with pytest.raises(ConfigError, match=r"keys.*delete it and restart"):
        Signatory.open(folder)
