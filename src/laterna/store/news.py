"""News: what servers on one PostgreSQL tell each other, with the transaction that makes it true (NOTIFY).

Nobody may rely on news: a server that is not listening at that moment never hears them, so whoever hears anew looks at
everything, and whoever waits looks now and then. On SQLite there is nobody to tell. Neighbour: `listening`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, text

CHANNEL = "laterna"
REQUEST = "request"  # topic: the id of a request whose state, log or place changed
KEY = "key"  # topic: the id of a key that is not what it was

PIECE = 1_900  # characters, of up to four bytes each: PostgreSQL carries less than 8,000 bytes at a time

_SEND = text("SELECT pg_notify(:channel, piece) FROM unnest(CAST(:pieces AS text[])) AS piece")


def tell(connection: Connection, topic: str, *said: str) -> None:
    """Tell the other servers once the transaction is committed; the same once only."""
    if connection.dialect.name == "postgresql":
        connection.info.setdefault("news", {}).update(dict.fromkeys((topic, one) for one in said))


def forget(connection: Connection) -> None:
    """Nothing is to be told: a transaction begins."""
    connection.info.pop("news", None)


def send(connection: Connection) -> None:
    """With the commit, what `tell` was told meanwhile. What a failed write told goes too, and does no harm."""
    news = connection.info.pop("news", None)
    if news:
        origin = connection.get_execution_options()["origin"]
        pieces = [piece for topic, said in news for piece in cut(origin, topic, said)]
        connection.execute(_SEND, {"channel": CHANNEL, "pieces": pieces})


def cut(origin: str, topic: str, said: str) -> Iterable[str]:
    """In pieces that fit, each with its sender, a mark (equal pieces would be carried once) and how many follow."""
    whole, mark = f"{topic} {said}", secrets.token_hex(4)
    parts = [whole[start : start + PIECE] for start in range(0, len(whole), PIECE)]
    return [f"{origin} {mark} {len(parts) - number} {part}" for number, part in enumerate(parts, 1)]


class Pieces:
    """Puts them together again. The pieces of one saying follow each other."""

    def __init__(self, own: str) -> None:
        """`own`: whose news are no news."""
        self._own = own
        self._mark = ""
        self._so_far = ""

    def take(self, piece: str) -> tuple[str, str] | None:
        """The topic and what is said of it, with the last piece; None before, and for one's own."""
        origin, mark, left, part = piece.split(" ", 3)
        if origin == self._own:
            return None
        self._so_far = self._so_far + part if mark == self._mark else part
        self._mark = mark
        if left != "0":
            return None
        topic, _, said = self._so_far.partition(" ")
        return topic, said
