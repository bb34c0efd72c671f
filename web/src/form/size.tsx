// Sizes as shapes to pick, and a width and a height where the model takes any.

import { useId } from "react";

import { useText } from "../text/text";
import type { FieldProps } from "./form";
import { SIZES } from "./schema";

const SIDE = 26; // pixels of the longer side of a shape

export function SizeField({ field, value, onChange, labelledBy }: FieldProps) {
  const { t, known } = useText();
  const name = useId();
  const chosen = typeof value === "string" ? value : "";
  const custom = typeof value === "object" && value !== null ? (value as { width: number; height: number }) : null;
  if (field.presets.length === 0 && !field.sides) {
    const { width, height } = custom ?? { width: 0, height: 0 };
    return (
      <p className="fixed-size">
        <Shape width={width} height={height} /> {width} × {height}
      </p>
    );
  }
  const start = SIZES[chosen] ?? [custom?.width ?? 512, custom?.height ?? 512];
  const within = (side: number) => Math.min(Math.max(side, field.sides!.low), field.sides!.high);
  return (
    <>
      <div className="shapes" role="radiogroup" aria-labelledby={labelledBy}>
        {field.presets.map((preset) => {
          const [width, height] = SIZES[preset] ?? [1, 1];
          return (
            <label key={preset} title={`${width} × ${height}`}>
              <input type="radio" name={name} checked={preset === chosen} onChange={() => onChange(preset)} />
              <Shape width={width} height={height} />
              <span>{known(`size.${preset}`, preset)}</span>
            </label>
          );
        })}
        {field.sides && (
          <label>
            <input
              type="radio"
              name={name}
              checked={custom !== null}
              onChange={() => onChange({ width: within(start[0]), height: within(start[1]) })}
            />
            <Shape width={custom?.width ?? 1} height={custom?.height ?? 1} dashed />
            <span>{t("form.custom")}</span>
          </label>
        )}
      </div>
      {custom && field.sides && (
        <div className="sides">
          {side("width")}
          <span aria-hidden="true">×</span>
          {side("height")}
        </div>
      )}
    </>
  );

  function side(which: "width" | "height") {
    return (
      <input
        type="number"
        min={field.sides!.low}
        max={field.sides!.high}
        step={8}
        value={custom![which] || ""}
        aria-label={t(`form.${which}`)}
        onChange={(event) => onChange({ ...custom!, [which]: Number(event.target.value) })}
      />
    );
  }
}

function Shape({ width, height, dashed }: { width: number; height: number; dashed?: boolean }) {
  const scale = SIDE / Math.max(width, height, 1);
  return (
    <span className="shape-box" aria-hidden="true">
      <span className={dashed ? "shape dashed" : "shape"} style={{ width: width * scale, height: height * scale }} />
    </span>
  );
}
