"""The entry of a worker process: `python -m laterna.worker FD STATION`. Started by the fleet, never by people."""

from __future__ import annotations

import os
import signal
import socket
import sys

import msgspec

from laterna.contracts.station import NO_TORCH, Station

# How long an OpenMP thread waits for the others before it sleeps, in turns of a loop. The default of libgomp, 300,000,
# holds cores that those others need where the machine has something else to do: five times slower beside two busy
# processes on two cores. What so many turns cost on an idle machine: a lone picture of laterna/sprite took 0.97 s, with
# the default 0.80 s; with eight at once there was no clear difference.
SPIN_TURNS = "10000"


def main() -> int:
    descriptor, station = int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Station)
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_TURNS)  # read when torch is loaded
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when workers stop
    try:
        from laterna.logs import configure_logs
        from laterna.worker.link import Link
        from laterna.worker.process import Worker
    except ModuleNotFoundError as missing:
        print(f"{missing}: models need `pip install 'laterna[models]'`", file=sys.stderr)
        return NO_TORCH
    connection = socket.socket(fileno=descriptor)
    configure_logs(station.log_level, station.log_json, station.name)
    Worker(station, Link(connection)).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
