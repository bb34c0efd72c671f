"""An invoice as PDF. Needs fpdf2, which the extra `invoices` installs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from laterna.billing.invoices import Invoice, decimal
from laterna.billing.purses import money
from laterna.errors import ConfigError

if TYPE_CHECKING:
    from fpdf import FPDF

WIDTHS = (62, 28, 28, 28, 28)  # millimetres, of the table's columns
FONT = "Helvetica"
MOVES = {"top_up": "Paid in", "withdrawal": "Paid back", "charge": "Charged"}


def pdf(invoice: Invoice, seller: str) -> bytes:
    """A4.

    Args:
        seller: who it comes from; `|` begins a new line.

    Raises ConfigError where fpdf2 is not installed.
    """
    try:
        from fpdf import FPDF
    except ImportError as error:
        raise ConfigError("invoices as PDF need fpdf2: pip install 'laterna[invoices]'; JSON and CSV do not") from error
    page = FPDF(format="A4")
    page.set_creation_date(datetime.fromtimestamp(invoice.issued_us / 1e6, UTC))
    page.set_title(f"Invoice {invoice.number}")
    page.set_margins(18, 18)
    page.add_page()
    _head(page, invoice, seller)
    _lines(page, invoice)
    _credit(page, invoice)
    return bytes(page.output())


def _head(page: FPDF, invoice: Invoice, seller: str) -> None:
    page.set_font(FONT, size=9)
    for line in filter(None, seller.split("|")):
        _say(page, line.strip())
    page.ln(8)
    page.set_font(FONT, "B", 18)
    _say(page, "Draft invoice" if invoice.draft else "Invoice", height=10)
    page.set_font(FONT, size=10)
    issued = datetime.fromtimestamp(invoice.issued_us / 1e6, UTC)
    for name, value in (
        ("Number", invoice.number),
        ("For", invoice.tenant_name),
        ("Account", invoice.tenant),
        ("Month", f"{invoice.month} (UTC)"),
        ("Issued", f"{issued:%Y-%m-%d}"),
    ):
        page.cell(24, 6, name)
        _say(page, value)
    page.ln(6)


def _lines(page: FPDF, invoice: Invoice) -> None:
    page.set_font(FONT, size=9)
    with page.table(col_widths=WIDTHS, text_align=("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT"), line_height=6) as table:
        table.row(("Model", "Unit", "Unit price", "Quantity", f"Amount ({invoice.currency})"))
        for line in invoice.lines:
            unit = (line.unit or "request").replace("_", " ")
            numbers = decimal(line.unit_nano), decimal(line.quantity_micro, 6), _paid(line.amount_nano)
            table.row([_latin(text) for text in (line.endpoint, unit, *numbers)])
        if not invoice.lines:
            table.row(("Nothing was charged.", "", "", "", ""))
    page.ln(2)
    page.set_font(FONT, "B", 11)
    page.cell(0, 8, f"Total {money(invoice.total_nano, invoice.currency)}", align="R", new_x="LMARGIN", new_y="NEXT")
    page.ln(6)


def _credit(page: FPDF, invoice: Invoice) -> None:
    moved = [(MOVES[kind], amount) for kind, amount in invoice.moved.items()]
    page.set_font(FONT, size=9)
    opening, closing = ("Credit at the beginning", invoice.opening_nano), ("Credit at the end", invoice.closing_nano)
    for name, amount in (opening, *moved, closing):
        page.cell(60, 5, name)
        page.cell(40, 5, money(amount, invoice.currency), align="R", new_x="LMARGIN", new_y="NEXT")
    if invoice.closing_nano < 0:
        page.ln(4)
        page.set_font(FONT, "B", 11)
        _say(page, f"Due: {money(-invoice.closing_nano, invoice.currency)}")


def _say(page: FPDF, text: str, height: int = 6) -> None:
    page.cell(0, height, _latin(text), new_x="LMARGIN", new_y="NEXT")


def _paid(nano: int) -> str:
    return money(nano, "").strip()


def _latin(text: str) -> str:
    """The built-in fonts know Latin-1 alone."""
    return text.encode("latin-1", "replace").decode("latin-1")
