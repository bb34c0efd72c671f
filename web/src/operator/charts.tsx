// Small charts, drawn by the browser itself; each says in words what it shows.

import { useText } from "../text/text";

const WIDTH = 240;
const HEIGHT = 48;
const POINTS = 60;

// The latest values as a line with its area.
export function Spark({ values, most, label }: { values: number[]; most: number; label: string }) {
  const shown = values.slice(-POINTS);
  const x = (at: number) => WIDTH - (shown.length - 1 - at) * (WIDTH / (POINTS - 1));
  const y = (value: number) => HEIGHT - 2 - (value / most) * (HEIGHT - 4);
  const line = shown.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} preserveAspectRatio="none">
      {shown.length > 1 && <path className="area" d={`${line}L${WIDTH} ${HEIGHT}L${x(0).toFixed(1)} ${HEIGHT}Z`} />}
      <path className="line" d={line} />
    </svg>
  );
}

// A bar for each value, the tallest as high as the chart.
export function Bars({ values, label }: { values: number[]; label: string }) {
  const { number } = useText();
  const most = Math.max(...values, 1);
  const step = WIDTH / values.length;
  return (
    <figure className="bars">
      <svg viewBox={`0 0 ${WIDTH} 80`} role="img" aria-label={label} preserveAspectRatio="none">
        {values.map((value, at) => {
          const height = (value / most) * 78;
          return <rect key={at} x={at * step + 0.4} width={step - 0.8} y={80 - height} height={height} rx={0.6} />;
        })}
      </svg>
      <figcaption className="muted small">
        {label} · max {number(most)}
      </figcaption>
    </figure>
  );
}
