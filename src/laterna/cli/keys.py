"""`laterna keys`: any tenant's. By the server's platform API; where none runs, one does for this call."""

from __future__ import annotations

import json as text
import sys
from typing import Annotated, Any, Optional
from urllib.parse import quote

import typer

from laterna.cli.options import Data, Json, Tenant, connected

app = typer.Typer(help="Make, list, rotate and revoke keys.", no_args_is_help=True)

KEYS = "/platform/v1/keys"
DAY = 86_400  # seconds
Id = Annotated[str, typer.Argument(help="The key's id: what stands before the colon")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="For people, such as ci or mobile-app")],
    tenant: Tenant = "default",
    scope: Annotated[str, typer.Option(help="read-only, api, admin or metrics")] = "api",
    models: Annotated[list[str], typer.Option("--model", help="Endpoint it may use, * for any characters [all]")] = [],  # noqa: B006
    realtime: Annotated[bool, typer.Option("--realtime", help="Let it ask for realtime priority")] = False,
    days: Annotated[Optional[float], typer.Option(help="Days until it ends [never]")] = None,  # noqa: UP045
    json: Json = False,
    data: Data = None,
) -> None:
    """Make a key. It is printed now and never again."""
    body: dict[str, Any] = {"alias": name, "scope": scope, "realtime": realtime}
    body |= {"models": models} if models else {}
    body |= {} if days is None else {"expires_in_seconds": days * DAY}
    with connected(data) as client:
        _show(client.send("POST", f"{KEYS}?tenant_id={quote(tenant)}", body), json)


@app.command(name="list")
def list_(tenant: Tenant = "default", json: Json = False, data: Data = None) -> None:
    """List a tenant's keys that have not ended."""
    with connected(data) as client:
        answer = client.get(f"{KEYS}?tenant_id={quote(tenant)}")
    if json:
        print(text.dumps(answer, indent=2))
        return
    for key in answer["keys"]:
        extra = ["realtime"] * key["realtime"]
        extra += [f"ends {key['expires_at']}"] if key["expires_at"] else []
        used = key["last_used_at"] or "never used"
        print("  ".join([key["key_id"], key["scope"], key["alias"], ",".join(key["models"]), used, *extra]))


@app.command()
def rotate(
    key: Id,
    tenant: Tenant = "default",
    overlap: Annotated[float, typer.Option(help="Hours for which the former secret is good")] = 24.0,
    json: Json = False,
    data: Data = None,
) -> None:
    """Give a key another secret. It is printed now and never again; the key file follows where it held this key."""
    with connected(data) as client:
        path = f"{KEYS}/{quote(key)}/rotate?tenant_id={quote(tenant)}"
        _show(client.send("POST", path, {"overlap_seconds": overlap * 3600}), json)


@app.command()
def revoke(key: Id, tenant: Tenant = "default", data: Data = None) -> None:
    """End a key at once."""
    with connected(data) as client:
        client.send("DELETE", f"{KEYS}/{quote(key)}?tenant_id={quote(tenant)}", {})
    print(f"key {key} has ended", file=sys.stderr)


def _show(answer: dict[str, Any], json: bool) -> None:
    print(text.dumps(answer, indent=2) if json else answer["key"])
