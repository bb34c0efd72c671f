// Usage as a file for a spreadsheet: a line a day, model, key and price.

import { save } from "../parts/pictures";
import { send } from "../talk/http";
import type { UsedRow } from "../talk/types";

const COLUMNS = ["time", "endpoint_id", "api_key_id", "key", "requests", "quantity", "unit", "unit_price", "cost", "currency", "device_seconds"] as const;

export function exportUsage(rows: UsedRow[], name: string): void {
  const lines = [COLUMNS, ...rows.map((row) => COLUMNS.map((column) => row[column]))];
  const text = lines.map((line) => line.map(cell).join(",")).join("\r\n");
  save(new Blob([text, "\r\n"], { type: "text/csv" }), `${name}.csv`);
}

export async function exportInvoices(month: string): Promise<void> {
  const answer = await send(`platform/v1/account/invoices/${month}?format=csv`);
  save(await answer.blob(), `${month}.csv`);
}

// A spreadsheet takes a text that begins so for a formula; keys are named by people.
const FORMULA = /^[=+\-@\t\r]/;

function cell(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
