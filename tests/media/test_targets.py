import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.errors import AddressRefused
from laterna.media.targets import parse

GOOD = {
    "http://example.com": "http://example.com/",
    "HTTPS://EXAMPLE.com:443/a?b=c#d": "https://example.com/a?b=c",
    "http://example.com:8080/x": "http://example.com:8080/x",
    "https://example.com:80/": "https://example.com:80/",
    "http://1.2.3.4/": "http://1.2.3.4/",
    "http://[2606:4700::1]:8080/": "http://[2606:4700::1]:8080/",
    "https://xn--bcher-kva.example/ä b".replace(" ", "%20"): "https://xn--bcher-kva.example/%C3%A4%20b",
    "https://under_score.example/?u=http://127.0.0.1/": "https://under_score.example/?u=http://127.0.0.1/",
    "https://s3.example/k?X-Amz-Signature=a%2Fb%3D&x=1+2": "https://s3.example/k?X-Amz-Signature=a%2Fb%3D&x=1+2",
}

SCHEMES = ["file:///etc/passwd", "ftp://example.com/", "gopher://example.com/", "//example.com/", "example.com", ""]
SCHEMES += ["javascript:alert(1)", "http:example.com", "http:/example.com", "http://", "http:///x", "unix:///run/x"]
SCHEMES += ["view-source:http://x/", "jar:http://x!/", "http+unix://%2Frun/x", "HTTP\t://x/", "data:text/plain,x"]
SPELLINGS = ["2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1"]
SPELLINGS += ["127.0.0.01", "127.0.0.1.", "127.0.0.0x1", "0", "1.2.3.4.5", "256.1.1.1", "1.2.3", "example.0x", "a.1"]
SPELLINGS += ["[::1%25lo]", "[::1%lo]", "[fe80::1%251]", "[::1", "::1", "[127.0.0.1]", "[v1.x]", "[::ffff:7f00::1]"]
HOSTS = ["localhost.", "example.com.", ".example.com", "a..b", "-a.example", "a-.example", "a" * 64 + ".example"]
HOSTS += ["①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛocalhost", "exämple.com", "ｅxample.com", "loc\u00adalhost", "\u200blocalhost"]
HOSTS += ["%6c%6fcalhost", "127%2e0%2e0%2e1", "example.com%00.evil", "a b", "a\\b", "*", "exam!ple.com", "a,b", "$x"]
HOSTS += ["user@example.com", "user:pw@example.com", "example.com@127.0.0.1", "1.1.1.1 &@2.2.2.2", "@127.0.0.1"]
HOSTS += ["127.0.0.1\\@example.com", "example.com\r\nHost: x", "a\x00b", "a\tb", "a" * 9000, ".".join(["abcdefg"] * 40)]
PORTS = ["0", "1", "21", "22", "25", "81", "111", "445", "1023", "65536", "99999", "-1", "8 0", "80a", "٨٠", "443x"]


@pytest.mark.parametrize("url", GOOD)
def test_plain_urls_pass(url: str) -> None:
    assert parse(url).url == GOOD[url]


@pytest.mark.parametrize(
    "url",
    [*SCHEMES, *(f"http://{host}/" for host in SPELLINGS + HOSTS), *(f"http://example.com:{port}/" for port in PORTS)],
)
def test_tricks_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        parse(url)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "http://a@", "http://a:"]))
def test_whatever_is_written_is_refused_or_plain(text: str, prefix: str) -> None:
    try:
        target = parse(prefix + text)
    except AddressRefused:
        return
    assert target.url.isascii()
    assert target.url.isprintable()
    assert " " not in target.url
    assert parse(target.url) == target


def test_messages_hide_the_query() -> None:
    assert str(parse("https://example.com/a?token=secret")) == "https://example.com/a"


def test_redirects_are_judged_from_scratch() -> None:
    here = parse("https://example.com/a/b?q")
    assert here.redirected("c").url == "https://example.com/a/c"
    assert here.redirected("//other.example/x").url == "https://other.example/x"
    for location in ("http://example.com/", "file:///etc/passwd", "//user@x/", "https://127.1/", "https://x:22/"):
        with pytest.raises(AddressRefused):
            here.redirected(location)
