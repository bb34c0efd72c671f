"""`laterna`: declares the commands. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from laterna.cli import keys, requests, tenants, webhooks
from laterna.cli.options import Data, Json, settings_of

app = typer.Typer(
    name="laterna",
    help="Generative media behind one durable queue, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(requests.app, name="requests")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version")] = False) -> None:
    if version:
        from laterna import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def serve(
    data: Data = None,
    host: Annotated[Optional[str], typer.Option(help="Address to listen on [127.0.0.1]")] = None,  # noqa: UP045
    port: Annotated[Optional[int], typer.Option(help="Port for HTTP [8000]")] = None,  # noqa: UP045
    tls_port: Annotated[Optional[int], typer.Option(help="Port for TLS [8443]")] = None,  # noqa: UP045
    set_: Annotated[list[str], typer.Option("--set", help="Any other setting, as NAME=VALUE")] = [],  # noqa: B006
) -> None:
    """Run the server until Ctrl-C."""
    from laterna.cli.serve import serve as verb

    verb(settings_of(data, host=host, port=port, tls_port=tls_port, **_pairs(set_)))


@app.command()
def run(
    endpoint: Annotated[str, typer.Argument(help="Such as laterna/sprite")],
    prompt: Annotated[Optional[str], typer.Argument(help="What to generate")] = None,  # noqa: UP045
    output: Annotated[Optional[Path], typer.Option("-o", "--output", help="File to write [NAME.png]")] = None,  # noqa: UP045
    inputs: Annotated[list[str], typer.Option("-i", "--input", help="Any input field, as NAME=VALUE")] = [],  # noqa: B006
    preview: Annotated[Optional[bool], typer.Option(help="Draw the picture in the terminal")] = None,  # noqa: UP045
    json: Json = False,
    data: Data = None,
) -> None:
    """Generate, with the running server or one embedded for this call, and save the files."""
    from laterna.cli.run import run as verb

    sys.exit(verb(settings_of(data), endpoint, prompt, output, _pairs(inputs), preview=preview, as_json=json))


@app.command()
def models(json: Json = False, data: Data = None) -> None:
    """List the models and their endpoints."""
    from laterna.cli.models import models as verb

    verb(settings_of(data), as_json=json)


@app.command()
def status(
    request: Annotated[Optional[str], typer.Argument(help="A request's id; without it, the server's state")] = None,  # noqa: UP045
    json: Json = False,
    data: Data = None,
) -> None:
    """Show how a request, or the server, is doing."""
    from laterna.cli.requests import status as verb

    sys.exit(verb(settings_of(data), request, as_json=json))


@app.command()
def cancel(request: Annotated[str, typer.Argument(help="The request's id")], data: Data = None) -> None:
    """Cancel a request: at once if it waits, at its next step if it runs."""
    from laterna.cli.requests import cancel as verb

    sys.exit(verb(settings_of(data), request))


@app.command()
def usage(
    by: Annotated[str, typer.Option(help="Some of day, model, key, tenant; comma-separated")] = "day,model",
    since: Annotated[Optional[str], typer.Option(help="First day, such as 2026-05-01 [30 days ago]")] = None,  # noqa: UP045
    until: Annotated[Optional[str], typer.Option(help="Day after the last one [now]")] = None,  # noqa: UP045
    model: Annotated[list[str], typer.Option(help="Only this endpoint; may be repeated")] = [],  # noqa: B006
    tenant: Annotated[Optional[str], typer.Option(help="Another tenant, or all")] = None,  # noqa: UP045
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV")] = False,
    cloudevents: Annotated[
        bool, typer.Option("--cloudevents", help="Print the charges as CloudEvents, one a line")
    ] = False,
    json: Json = False,
    data: Data = None,
) -> None:
    """Show what was used and charged."""
    from laterna.cli.usage import usage as verb

    form = "cloudevents" if cloudevents else "csv" if csv else "json" if json else "table"
    verb(settings_of(data), by=by, since=since, until=until, models=model, tenant=tenant, form=form)


@app.command()
def invoice(
    month: Annotated[str, typer.Argument(help="Such as 2026-05")],
    output: Annotated[Optional[Path], typer.Option("-o", help="A .json, .csv or .pdf file [stdout, JSON]")] = None,  # noqa: UP045
    currency: Annotated[Optional[str], typer.Option(help="Where there are several")] = None,  # noqa: UP045
    tenant: Annotated[Optional[str], typer.Option(help="Another tenant")] = None,  # noqa: UP045
    data: Data = None,
) -> None:
    """Write a month's invoice."""
    from laterna.cli.usage import invoice as verb

    verb(settings_of(data), month, output, currency, tenant)


@app.command()
def budget(
    tenant: Annotated[Optional[str], typer.Argument(help="Whose [your own]")] = None,  # noqa: UP045
    add: Annotated[Optional[str], typer.Option(help="Credit to add; below 0 takes back")] = None,  # noqa: UP045
    note: Annotated[str, typer.Option(help="What the credit is for")] = "",
    monthly: Annotated[Optional[str], typer.Option(help="Hard limit of a month, or none")] = None,  # noqa: UP045
    warn_at: Annotated[Optional[str], typer.Option(help="Warn above this in a month, or none")] = None,  # noqa: UP045
    prepaid: Annotated[Optional[bool], typer.Option(help="Whether nothing runs without credit")] = None,  # noqa: UP045
    currency: Annotated[str, typer.Option(help="Three letters")] = "USD",
    json: Json = False,
    data: Data = None,
) -> None:
    """Show or set what a tenant may spend, and add to its credit."""
    from laterna.cli.budget import budget as verb

    limits = {"monthly": monthly, "warn_at": warn_at, "prepaid": prepaid}
    verb(settings_of(data), tenant, add=add, note=note, limits=limits, currency=currency, as_json=json)


@app.command()
def simulate(
    trace: Annotated[Optional[Path], typer.Argument(help="A CSV file of requests, as docs/simulation.md shows")] = None,  # noqa: UP045
    poisson: Annotated[Optional[float], typer.Option(help="Poisson arrivals, so many a second")] = None,  # noqa: UP045
    bursty: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Bursts, as RATE:ON:OFF: requests a second, mean seconds of bursts and of pauses"),
    ] = None,
    history: Annotated[Optional[float], typer.Option(help="The requests of this folder's last HOURS")] = None,  # noqa: UP045
    model: Annotated[str, typer.Option(help="Endpoint, of requests that name none")] = "laterna/sprite",
    mix: Annotated[str, typer.Option(help="Of made-up requests, as STEPS:SHARE[:CLASS],...")] = "",
    count: Annotated[int, typer.Option(help="How many made-up requests")] = 300,
    seed: Annotated[int, typer.Option(help="Of everything random")] = 0,
    curve: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="What calls take: .toml, .csv, or a costs-*.json [what this folder's workers learned]"),
    ] = None,
    devices: Annotated[Optional[int], typer.Option(help="How many [those of this folder]")] = None,  # noqa: UP045
    policy: Annotated[list[str], typer.Option(help="laterna or first-come; may be repeated")] = ["laterna"],  # noqa: B006
    output: Annotated[Optional[Path], typer.Option("-o", "--output", help="Plot to write: .png or .svg")] = None,  # noqa: UP045
    save_trace: Annotated[Optional[Path], typer.Option(help="CSV file to write the requests to")] = None,  # noqa: UP045
    json: Json = False,
    data: Data = None,
) -> None:
    """Show how requests would fare: on the devices here or on others, by the very scheduler that serves."""
    from laterna.cli.simulate import Options
    from laterna.cli.simulate import simulate as verb

    options = Options(
        model=model,
        trace=trace,
        rate=poisson,
        bursts=bursty,
        hours=history,
        mix=mix,
        count=count,
        seed=seed,
        curve=curve,
        devices=devices,
        policies=policy,
        output=output,
        save_trace=save_trace,
        as_json=json,
    )
    verb(settings_of(data), options)


@app.command()
def env(
    intercept: Annotated[bool, typer.Option(help="Also send fal's fixed hosts (uploads) here, by a proxy")] = False,
    data: Data = None,
) -> None:
    """Print shell lines that point every stock client at this server."""
    from laterna.cli.env import env as verb

    sys.exit(verb(settings_of(data), intercept=intercept))


@app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --")],
    intercept: Annotated[bool, typer.Option(help="Also send fal's fixed hosts (uploads) here, by a proxy")] = True,
    data: Data = None,
) -> None:
    """Run a command whose stock clients talk to this server: nothing else is changed."""
    from laterna.cli.env import exec_ as verb

    sys.exit(verb(settings_of(data), command, intercept=intercept))


@app.command()
def certs(json: Json = False, data: Data = None) -> None:
    """Make the local certificates if need be, and say where they are."""
    from laterna.cli.certs import certs as verb

    verb(settings_of(data), as_json=json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A picture, film or sound")],
    trust: Annotated[Optional[Path], typer.Option(help="Authorities to trust besides this server's, PEM")] = None,  # noqa: UP045
    json: Json = False,
    data: Data = None,
) -> None:
    """Say what a file says of how it was made, who signed that, and whether it was altered since."""
    from laterna.cli.verify import verify as verb

    sys.exit(verb(settings_of(data), file, trust, as_json=json))


def _pairs(items: list[str]) -> dict[str, str]:
    wrong = [item for item in items if "=" not in item]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r}: expected NAME=VALUE")
    return dict(item.split("=", 1) for item in items)


def main() -> None:
    """The entry point: Laterna's own errors and the system's become one line on stderr and exit status 1."""
    from laterna.errors import LaternaError

    try:
        app()
    except LaternaError as error:
        print(f"laterna: {error.message}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"laterna: {named}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
