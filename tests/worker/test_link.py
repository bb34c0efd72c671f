"""The worker's end of the socket: orders come in order, and the end of the server is an order too."""

from __future__ import annotations

import socket
import threading

from laterna.contracts.frames import pack, server_reader
from laterna.contracts.messages import Beat, Cancel, Lease, Note, Stop
from laterna.worker.link import Link

LEASE = Lease(request_id="r", token="t")


def test_orders_and_what_else_is_to_be_done_come_in_turn() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link, done = Link(theirs), list[str]()
        assert link.next(0) is None
        ours.sendall(pack(Cancel(lease=LEASE)))
        assert link.next(10) == Cancel(lease=LEASE)
        link.later(lambda: done.append("mine"))
        deed = link.next(10)
        assert callable(deed)
        deed()
        assert done == ["mine"]
        ours.sendall(pack(Cancel(lease=LEASE))[:7])
        assert link.next(0.05) is None, "half an order is none"
        ours.sendall(pack(Cancel(lease=LEASE))[7:] + pack(Stop()))
        assert [link.next(10), link.next(10)] == [Cancel(lease=LEASE), Stop()]
        ours.shutdown(socket.SHUT_RDWR)
        assert link.next(10) == Stop()


def test_many_threads_speak_and_every_word_arrives_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link, reader = Link(theirs), server_reader()
        words = [[Note(lease=LEASE, level="INFO", message=f"{n}:{m}" * 5000) for m in range(20)] for n in range(4)]

        def speak(mine: list[Note]) -> None:
            for word in mine:
                link.say(word)

        speakers = [threading.Thread(target=speak, args=(mine,)) for mine in words]
        for speaker in speakers:
            speaker.start()
        heard = [reader.read(ours) for _ in range(80)]
        for speaker in speakers:
            speaker.join()
        for mine in words:
            assert [word for word in heard if word in mine] == mine, "each speaker's in its order"


def test_speaking_to_a_server_that_is_gone_ends_the_worker() -> None:
    ours, theirs = socket.socketpair()
    link = Link(theirs)
    ours.close()
    assert link.next(10) == Stop()
    link.say(Beat(leases=[], resident=[], observed=[]))
    assert link.next(10) == Stop()
    theirs.close()
