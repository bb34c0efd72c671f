// Days side by side, each a column with a part for every series. The table below says the same in numbers.

import { useState } from "react";

import { useText } from "../text/text";
import type { Series } from "./reading";

const LABELS = 5; // days that are named below

export function Columns(props: { days: string[]; series: Series[]; show: (value: number) => string; label: string }) {
  const { t, day } = useText();
  const { days, series, show, label } = props;
  const [at, point] = useState<number | null>(null);
  const totals = days.map((_, n) => series.reduce((sum, one) => sum + one.values[n]!, 0));
  const most = roundUp(Math.max(...totals));
  const each = Math.ceil(days.length / LABELS);
  const pointed = at === null ? null : `${day(days[at]!)}: ${show(totals[at]!)}`;
  return (
    <figure className="columns">
      <div className="columns-plot" role="img" aria-label={label} onPointerLeave={() => point(null)}>
        <span className="columns-most">{most > 0 ? show(most) : ""}</span>
        {days.map((one, n) => (
          <div key={one} className={n === at ? "column at" : "column"} onPointerEnter={() => point(n)} onPointerDown={() => point(n)}>
            {series.map((part, colour) => (
              <span key={part.name} className={`part series-${colour}`} style={{ height: `${most > 0 ? (part.values[n]! / most) * 100 : 0}%` }} />
            ))}
          </div>
        ))}
      </div>
      <div className="columns-days" aria-hidden="true">
        {days.map((one, n) => (
          <span key={one}>{(days.length - 1 - n) % each === 0 ? day(one) : ""}</span>
        ))}
      </div>
      <figcaption>
        <ul className="legend">
          {series.map((part, colour) => (
            <li key={part.name}>
              <span className={`dot series-${colour}`} aria-hidden="true" /> <span className="id">{part.name}</span>{" "}
              <strong>{show(at === null ? part.total : part.values[at]!)}</strong>
            </li>
          ))}
        </ul>
        <span className="muted small">{pointed ?? t("usage.point")}</span>
      </figcaption>
    </figure>
  );
}

// The next of 1, 2 or 5 with zeros: a scale that people read at once.
export function roundUp(value: number): number {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999)!;
}
