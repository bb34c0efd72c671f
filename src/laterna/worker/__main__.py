"""The entry of a worker process: `python -m laterna.worker FD STATION`. Started by the fleet, never by people."""

from __future__ import annotations

import signal
import socket
import sys

import msgspec

from laterna.contracts.station import Station

NO_TORCH = 78  # exit status: the packages that run models are not installed


def main() -> int:
    descriptor, station = int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Station)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when workers stop
    try:
        from laterna.worker.link import Link
        from laterna.worker.process import Worker
    except ModuleNotFoundError as missing:
        print(f"{missing}: models need `pip install 'laterna[models]'`", file=sys.stderr)
        return NO_TORCH
    connection = socket.socket(fileno=descriptor)
    Worker(station, Link(connection)).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
