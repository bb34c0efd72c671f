"""`laterna tenants`: who shares the server. By its platform API; where none runs, one does for this call."""

from __future__ import annotations

import json as text
from typing import Annotated, Any, Optional
from urllib.parse import quote

import typer

from laterna.cli.options import Data, Json, connected

app = typer.Typer(help="Make and list tenants, set their limits, see where they stand.", no_args_is_help=True)

TENANTS = "/platform/v1/tenants"
GB = 1_000_000_000  # bytes
Weight = Annotated[Optional[int], typer.Option(help="Its share against others' [1]")]  # noqa: UP045
Limit = Optional[str]  # noqa: UP045
Concurrency = Annotated[Limit, typer.Option(help="Requests that may run at once, or none")]
Queue = Annotated[Limit, typer.Option("--queue-length", help="Requests that may wait, or none")]
Rate = Annotated[Limit, typer.Option(help="Requests that it may submit in a minute, or none")]
Storage = Annotated[Limit, typer.Option("--storage-gb", help="Files that are kept, GB, or none")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Such as studio")],
    weight: Weight = None,
    concurrency: Concurrency = None,
    queue_length: Queue = None,
    rate: Rate = None,
    storage_gb: Storage = None,
    json: Json = False,
    data: Data = None,
) -> None:
    """Make a tenant; limits that are not given are those of the settings. `laterna keys create` makes its keys."""
    given = _limits(weight, concurrency, queue_length, rate, storage_gb)
    with connected(data) as client:
        answer = client.send("POST", TENANTS, {"name": name, **given})
    print(text.dumps(answer, indent=2) if json else answer["tenant_id"])


@app.command(name="list")
def list_(json: Json = False, data: Data = None) -> None:
    """List all tenants with their weights and limits."""
    with connected(data) as client:
        answer = client.get(TENANTS)
    if json:
        print(text.dumps(answer, indent=2))
        return
    for one in answer["tenants"]:
        limits = [f"{name} {most}" for name, most in one["limits"].items() if most is not None]
        print("  ".join([one["name"], f"weight {one['weight']}", *(limits or ["no limits"])]))


@app.command()
def limits(
    name: Annotated[str, typer.Argument(help="Whose")] = "default",
    weight: Weight = None,
    concurrency: Concurrency = None,
    queue_length: Queue = None,
    rate: Rate = None,
    storage_gb: Storage = None,
    json: Json = False,
    data: Data = None,
) -> None:
    """Set a tenant's limits, those that are given; show them, what it uses of them, and when its turn is."""
    given = _limits(weight, concurrency, queue_length, rate, storage_gb)
    with connected(data) as client:
        if given:
            client.send("PATCH", f"{TENANTS}/{quote(name)}", given)
        answer = client.get(f"/platform/v1/limits?tenant_id={quote(name)}")
    print(text.dumps(answer, indent=2) if json else "\n".join(_lines(answer)))


def _limits(
    weight: int | None, concurrency: str | None, queue_length: str | None, rate: str | None, storage_gb: str | None
) -> dict[str, Any]:
    """What is given, in the API's words."""
    given: dict[str, Any] = {} if weight is None else {"weight": weight}
    for name, value, unit in (
        ("concurrency", concurrency, 1),
        ("queue_length", queue_length, 1),
        ("rate_per_minute", rate, 1),
        ("storage_bytes", storage_gb, GB),
    ):
        if value is not None:
            given[name] = None if value.lower() == "none" else _number(name, value, unit)
    return given


def _number(name: str, value: str, unit: int) -> int:
    try:
        return round((float(value) if unit != 1 else int(value)) * unit)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{name}: {value!r}: expected a number, or none") from error


def _lines(found: dict[str, Any]) -> list[str]:
    """As people read it."""
    share, queue = found["share"], found["queue"]
    turn = "nothing of it waits"
    if queue["place"] is not None:
        turn = f"its next request is {_nth(queue['place'])} of {queue['tenants']} tenants that wait"
    lines = [f"{found['tenant']}: its share is {share['fraction']:.0%} (weight {share['weight']}); {turn}"]
    for name, most in found["limits"].items():
        used = found["use"][name]
        lines.append(f"  {name}: {used:,} of {'any number' if most is None else f'{most:,}'}")
    for one in found["spend"]:
        most = "any amount" if one["monthly"] is None else one["monthly"]
        lines.append(f"  spent this month: {one['spent_this_month']} of {most} {one['currency']}")
    return lines


def _nth(place: int) -> str:
    teen = 10 <= place % 100 <= 20
    return f"{place}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(place % 10, 'th')}"
