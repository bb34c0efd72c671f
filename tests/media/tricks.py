"""Ways to make a server fetch from inside: each URL below leads, for some client, to a place that users may not reach.

`{port}` stands for the port of a real server on loopback, so that a hole is seen as a request and not only as a missing
error. `NAMES` are the answers of a hostile name server, for URLs that are plain to look at.
"""

from __future__ import annotations


def _each(text: str) -> list[str]:
    return text.split()


# IPv4 in spellings that inet_aton, browsers or old C libraries read.
SPELLED = _each("""
http://2130706433:{port}/ http://0x7f000001:{port}/ http://0X7F000001:{port}/ http://017700000001:{port}/
http://0x7f.1:{port}/ http://0x7f.0.0.1:{port}/ http://0x7f.0x0.0x0.0x1:{port}/ http://0177.0.0.1:{port}/
http://0177.0.0.01:{port}/ http://00000177.0.0.1:{port}/ http://127.1:{port}/ http://127.0.1:{port}/
http://127.0x1:{port}/ http://127.00.00.01:{port}/ http://0x7f.0.1:{port}/ http://127.0.0.1.:{port}/
http://127.0.0.0x1:{port}/ http://127.65537:{port}/ http://383.0.0.1:{port}/ http://127.0.0.257:{port}/
http://4294967297:{port}/ http://6425673729:{port}/ http://0:{port}/ http://0.0:{port}/ http://0x0:{port}/
http://0000:{port}/ http://127.0.0.1.0x7f:{port}/ http://+127.0.0.1:{port}/ http://-1:{port}/
http://2852039166/ http://0xa9fea9fe/ http://0251.0376.0251.0376/ http://0xa9.0xfe.0xa9.0xfe/ http://169.254.43518/
http://425.510.425.510/ http://0xa9fe.43518/ http://3232235777/ http://192.168.257/ http://10.1/
""")

# IPv4 as it should be written, of every special block.
V4 = _each("""
http://127.0.0.1:{port}/ http://127.0.0.2:{port}/ http://127.1.2.3:{port}/ http://127.255.255.254:{port}/
http://0.0.0.0:{port}/ http://0.1.2.3/ http://10.0.0.1/ http://10.255.255.255/ http://172.16.0.1/
http://172.31.255.254/ http://192.168.0.1/ http://192.168.255.255/ http://169.254.169.254/latest/meta-data/
http://169.254.170.2/v2/credentials/ http://169.254.0.1/ http://100.64.0.1/ http://100.127.255.254/
http://100.100.100.200/latest/meta-data/ http://168.63.129.16/ http://192.0.0.192/opc/v2/ http://192.0.0.170/
http://192.0.2.1/ http://192.88.99.1/ http://198.18.0.1/ http://198.19.255.254/ http://198.51.100.7/
http://203.0.113.7/ http://224.0.0.1/ http://239.255.255.250:1900/ http://240.0.0.1/ http://255.255.255.255/
""")

# IPv6: loopback, IPv4 within IPv6 in every way that a relay unwraps, zones, scopes, brackets that are none.
V6 = _each("""
http://[::1]:{port}/ http://[0:0:0:0:0:0:0:1]:{port}/ http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/
http://[::]:{port}/ http://[::127.0.0.1]:{port}/ http://[::7f00:1]:{port}/ http://[::ffff:127.0.0.1]:{port}/
http://[::ffff:7f00:1]:{port}/ http://[::FFFF:7F00:0001]:{port}/ http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/
http://[::ffff:0:127.0.0.1]:{port}/ http://[::ffff:169.254.169.254]/ http://[::ffff:a9fe:a9fe]/
http://[::ffff:8.8.8.8]/ http://[64:ff9b::127.0.0.1]:{port}/ http://[64:ff9b::a9fe:a9fe]/
http://[64:ff9b:1::7f00:1]/ http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::1]/ http://[2002:c0a8:101::]/
http://[2001::7f00:1]/ http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/ http://[2606:4700::5efe:127.0.0.1]/
http://[2606:4700::200:5efe:10.0.0.1]/ http://[fe80::1]/ http://[fe80::a9fe:a9fe]/ http://[fe80::1%25lo]:{port}/
http://[fe80::1%lo]:{port}/ http://[::1%25lo]:{port}/ http://[::1%lo]:{port}/ http://[fec0::1]/ http://[fc00::1]/
http://[fd00::1]/ http://[fd00:ec2::254]/ http://[fd20:ce::254]/ http://[ff02::1]/ http://[ff0e::1]/ http://[100::1]/
http://[2001:db8::1]/ http://[3fff::1]/ http://[5f00::1]/ http://[4000::1]/ http://[::1:{port}/ http://::1:{port}/
http://[127.0.0.1]:{port}/ http://[localhost]:{port}/ http://[v1.127]:{port}/ http://[]:{port}/ http://[::1].x/
http://[::1]x:{port}/ http://x[::1]:{port}/ http://[[::1]]:{port}/ http://0--1.ipv6-literal.net.:{port}/
""")

# Hosts that one parser reads in another way than the next: user names, dots, letters that fold, escapes, blanks.
CONFUSING = [
    "http://example.com@127.0.0.1:{port}/",
    "http://example.com:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@example.com/",
    "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}?@example.com/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http://example.com#@127.0.0.1:{port}/x@",
    "http://a@b@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://:@127.0.0.1:{port}/",
    "http://1.1.1.1 &@2.2.2.2# @127.0.0.1:{port}/",
    "http://127.0.0.1:{port}:80/",
    "http://127.0.0.1:80:{port}/",
    "http://127.0.0.1:{port}%2f@example.com/",
    "http://127.0.0.1%00.example.com:{port}/",
    "http://127.0.0.1\x00.example.com:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\r\nHost: x:{port}/",
    "http://127.0.0.1 :{port}/",
    " http://127.0.0.1:{port}/",
    "http:// 127.0.0.1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://loc%61lhost:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://①②⑦。⓪。⓪。①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127．0．0．1:{port}/",
    "http://127｡0｡0｡1:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://١٢٧.0.0.1:{port}/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "http://ｌｏｃａｌｈｏｓｔ:{port}/",
    "http://loc\u00adalhost:{port}/",
    "http://local\u200bhost:{port}/",
    "http://localhoſt:{port}/",
    "http://[::①]:{port}/",
    "http://localhost.:{port}/",
    "http://localhost..:{port}/",
    "http://.localhost:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:////127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
]

# What is no web address at all, or speaks to a port that speaks something else.
ELSEWHERE = _each("""
file:///etc/passwd file://localhost/etc/passwd file:/etc/passwd FILE:///etc/passwd ftp://127.0.0.1/ tftp://127.0.0.1/x
sftp://127.0.0.1/ gopher://127.0.0.1:{port}/_GET%20/ dict://127.0.0.1:11211/stats ldap://127.0.0.1/ ldaps://127.0.0.1/
jar:http://127.0.0.1!/ netdoc:///etc/passwd phar:///etc/passwd unix:///run/docker.sock http+unix://%2frun%2fdocker.sock/
ws://127.0.0.1:{port}/ smb://127.0.0.1/share javascript:alert(1) about:blank blob:http://127.0.0.1/x url:http://127.0.0.1/
http://127.0.0.1:22/ http://example.com:22/ http://example.com:25/ http://example.com:0/ http://example.com:70000/
http://example.com:-80/ http://example.com:0x50/ http://example.com:８０/ http://example.com:111/
""")

# What names answer that look like any other. Several addresses: one of them leads inside.
NAMES = {
    "localhost": "127.0.0.1",
    "localhost.localdomain": "127.0.0.1",
    "localtest.me": "127.0.0.1",
    "127.0.0.1.nip.io": "127.0.0.1",
    "metadata.google.internal": "169.254.169.254",
    "instance-data": "169.254.169.254",
    "kubernetes.default.svc": "10.96.0.1",
    "host.docker.internal": "172.17.0.1",
    "router.example": "192.168.1.1",
    "cgnat.example": "100.64.0.1",
    "zero.example": "0.0.0.0",
    "broadcast.example": "255.255.255.255",
    "multicast.example": "224.0.0.251",
    "six.example": "::1",
    "any-six.example": "::",
    "mapped.example": "::ffff:127.0.0.1",
    "compatible.example": "::127.0.0.1",
    "translated.example": "::ffff:0:127.0.0.1",
    "nat64.example": "64:ff9b::7f00:1",
    "nat64-local.example": "64:ff9b:1::7f00:1",
    "sixtofour.example": "2002:7f00:1::",
    "teredo.example": "2001:0:7f00:1::1",
    "isatap.example": "2606:4700::5efe:7f00:1",
    "unique-local.example": "fd00:ec2::254",
    "link-local.example": "fe80::1%lo",
    "site-local.example": "fec0::1",
    "multicast-six.example": "ff02::1",
    "public-then-inside.example": "93.184.216.34 10.0.0.1",
    "inside-then-public.example": "127.0.0.1 93.184.216.34",
    "inside-last.example": "93.184.216.34 1.1.1.1 8.8.8.8 8.8.4.4 9.9.9.9 127.0.0.1",
    "four-public-six-inside.example": "93.184.216.34 ::1",
    "xn--n3h.example": "127.0.0.1",
    "under_score.example": "127.0.0.1",
    "a" * 63 + ".example": "127.0.0.1",
}

WRITTEN = [*SPELLED, *V4, *V6, *CONFUSING, *ELSEWHERE]
RESOLVED = [f"http://{name}:{{port}}/" for name in NAMES]
TRICKS = [*WRITTEN, *RESOLVED]


def aimed(port: int) -> list[str]:
    """All tricks at one port of loopback."""
    return [trick.replace("{port}", str(port)) for trick in TRICKS]
