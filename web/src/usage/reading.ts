// What was used and charged, as the server reports it, and added up for the view.

import { useQuery } from "@tanstack/react-query";

import { get } from "../talk/http";
import type { Billing, UsedRow } from "../talk/types";

export type By = "model" | "key";
export type Measure = "cost" | "requests" | "device_seconds";

export interface Series {
  name: string;
  values: number[]; // a day each
  total: number;
}

const DAY = 86_400_000; // ms
const FEW = 6; // series that have a colour of their own

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function useUsed(days: number) {
  return useQuery({
    queryKey: ["usage", days],
    queryFn: async ({ signal }) => {
      const start = new Date(Date.now() - (days - 1) * DAY).toISOString();
      const query = new URLSearchParams({ by: "time,model,key", timeframe: "day", timezone: zone(), start });
      return (await get<{ rows: UsedRow[] }>(`platform/v1/account/usage?${query}`, signal)).rows;
    },
    staleTime: 0,
    refetchInterval: 30_000,
  });
}

export function useBilling() {
  return useQuery({ queryKey: ["billing"], queryFn: ({ signal }) => get<Billing>("platform/v1/account/billing", signal), staleTime: 0 });
}

// The days that are shown, as the server names them: by their date in this browser's zone.
export function lastDays(days: number): string[] {
  const today = new Date();
  return Array.from({ length: days }, (_, at) => dateOf(new Date(today.getFullYear(), today.getMonth(), today.getDate() - days + 1 + at)));
}

function dateOf(day: Date): string {
  const two = (n: number) => String(n).padStart(2, "0");
  return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
}

export const nameOf = (row: UsedRow, by: By): string => (by === "model" ? row.endpoint_id : (row.key ?? "–"));

// A series a model or key, the largest first; those beyond a few are one.
export function seriesOf(rows: UsedRow[], days: string[], by: By, measure: Measure, others: string): Series[] {
  const found = new Map<string, Series>();
  for (const row of rows) {
    const name = nameOf(row, by);
    const series = found.get(name) ?? { name, values: days.map(() => 0), total: 0 };
    found.set(name, series);
    const at = days.indexOf(row.time.slice(0, 10));
    if (at >= 0) series.values[at]! += row[measure];
    series.total += row[measure];
  }
  const sorted = [...found.values()].sort((one, other) => other.total - one.total);
  if (sorted.length <= FEW) return sorted;
  const rest = sorted.slice(FEW - 1);
  const values = days.map((_, at) => rest.reduce((sum, one) => sum + one.values[at]!, 0));
  return [...sorted.slice(0, FEW - 1), { name: others, values, total: rest.reduce((sum, one) => sum + one.total, 0) }];
}
