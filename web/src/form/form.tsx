// The form of an endpoint: a control for each field of its schema.

import { useId, type ReactNode } from "react";

import { Icon } from "../parts/icons";
import { IconButton, Segmented } from "../parts/controls";
import type { Problem } from "../talk/http";
import { useText } from "../text/text";
import { ImageField, ImagesField } from "./images";
import { LorasField } from "./loras";
import { LARGEST_SEED, type Field, type Values } from "./schema";
import { SizeField } from "./size";

const PLAIN = new Set(["prompt", "image_size", "num_images", "num_inference_steps"]); // their names say it all
const FEW = 4; // choices that are shown side by side

export interface FieldProps {
  field: Field;
  value: any;
  onChange: (value: unknown) => void;
  id: string; // of the control
  describedBy: string | undefined;
  invalid: boolean;
  labelledBy: string;
}

export function Form(props: { fields: Field[]; values: Values; problems: Problem[]; onChange: (values: Values) => void }) {
  const { t } = useText();
  const { fields, values, problems, onChange } = props;
  const row = (field: Field) => (
    <FormRow
      key={field.name}
      field={field}
      value={values[field.name]}
      problem={problems.find(({ loc }) => loc[1] === field.name)}
      onChange={(value) => onChange({ ...values, [field.name]: value })}
    />
  );
  const advanced = fields.filter((field) => field.advanced);
  const troubled = advanced.some(({ name }) => problems.some(({ loc }) => loc[1] === name));
  return (
    <div className="form">
      {fields.filter((field) => !field.advanced).map(row)}
      {advanced.length > 0 && (
        <details className="advanced" open={troubled || undefined}>
          <summary>
            <Icon name="right" /> {t("play.advanced")}
          </summary>
          <div className="form">{advanced.map(row)}</div>
        </details>
      )}
    </div>
  );
}

function FormRow(props: { field: Field; value: unknown; problem: Problem | undefined; onChange: (value: unknown) => void }) {
  const { known } = useText();
  const { field, value, problem, onChange } = props;
  const id = useId();
  const label = known(`field.${field.name}`, field.schema.title ?? field.name);
  const Control = CONTROLS[field.kind];
  const alone = field.kind === "switch" || LABELLED.has(field.kind);
  return (
    <div className={`field ${field.kind}`} data-field={field.name}>
      <div className="field-head">
        {alone ? (
          <label className="field-name" id={`${id}-label`} htmlFor={id}>
            {label}
          </label>
        ) : (
          <span className="field-name" id={`${id}-label`}>
            {label}
          </span>
        )}
        {field.kind === "number" && (
          <NumberBox field={field} value={value} onChange={onChange} label={label} />
        )}
      </div>
      <Control
        field={field}
        value={value}
        onChange={onChange}
        id={id}
        labelledBy={`${id}-label`}
        describedBy={problem ? `${id}-problem` : field.schema.description && !PLAIN.has(field.name) ? `${id}-about` : undefined}
        invalid={problem !== undefined}
      />
      {field.schema.description && !PLAIN.has(field.name) && (
        <p className="about" id={`${id}-about`} lang="en">
          {field.schema.description}
        </p>
      )}
      {problem && (
        <p className="problem" id={`${id}-problem`} role="alert">
          {problem.msg}
        </p>
      )}
    </div>
  );
}

const LABELLED = new Set(["words", "text", "number", "seed", "choice", "json"]);
const CONTROLS: Record<Field["kind"], (props: FieldProps) => ReactNode> = {
  words: Words,
  text: Line,
  number: Slider,
  seed: Seed,
  choice: Choice,
  switch: Toggle,
  size: SizeField,
  image: ImageField,
  images: ImagesField,
  loras: LorasField,
  json: Json,
};

function Words({ field, value, onChange, id, describedBy, invalid }: FieldProps) {
  const example = field.schema.examples?.[0];
  return (
    <textarea
      id={id}
      rows={field.name === "prompt" ? 3 : 2}
      value={value ?? ""}
      maxLength={field.schema.maxLength}
      required={field.required}
      placeholder={typeof example === "string" ? example : undefined}
      onChange={(event) => onChange(event.target.value)}
      aria-invalid={invalid}
      aria-describedby={describedBy}
    />
  );
}

function Line({ field, value, onChange, id, describedBy, invalid }: FieldProps) {
  return (
    <input
      id={id}
      type="text"
      value={value ?? ""}
      maxLength={field.schema.maxLength}
      onChange={(event) => onChange(event.target.value)}
      aria-invalid={invalid}
      aria-describedby={describedBy}
    />
  );
}

function Slider({ field, value, onChange, id, describedBy, invalid }: FieldProps) {
  const { minimum, maximum } = field.schema;
  if (minimum === undefined || maximum === undefined) return null; // the box beside the name is enough
  return (
    <input
      id={id}
      type="range"
      min={minimum}
      max={maximum}
      step={field.whole ? 1 : 0.1}
      value={value ?? minimum}
      onChange={(event) => onChange(Number(event.target.value))}
      aria-invalid={invalid}
      aria-describedby={describedBy}
    />
  );
}

function NumberBox({ field, value, onChange, label }: { field: Field; value: any; onChange: (value: unknown) => void; label: string }) {
  return (
    <input
      className="number-box"
      type="number"
      min={field.schema.minimum}
      max={field.schema.maximum}
      step={field.whole ? 1 : "any"}
      value={value ?? ""}
      aria-label={label}
      onChange={(event) => onChange(event.target.value === "" ? undefined : Number(event.target.value))}
    />
  );
}

function Seed({ value, onChange, id, describedBy, invalid }: FieldProps) {
  const { t } = useText();
  const digits = (text: string) => {
    const kept = text.replace(/\D/g, "").slice(0, 15);
    onChange(kept === "" ? undefined : Number(kept));
  };
  return (
    <span className="with-button">
      <input
        id={id}
        type="text"
        inputMode="numeric"
        value={value ?? ""}
        placeholder={t("form.random")}
        onChange={(event) => digits(event.target.value)}
        aria-invalid={invalid}
        aria-describedby={describedBy}
      />
      {value !== undefined && <IconButton icon="close" label={t("form.clear")} onClick={() => onChange(undefined)} />}
      <IconButton icon="dice" label={t("form.roll")} onClick={() => onChange(rolled())} className="dice" />
    </span>
  );
}

export function rolled(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! % LARGEST_SEED;
}

function Choice({ field, value, onChange, id, describedBy, labelledBy }: FieldProps) {
  const { t } = useText();
  const options = (field.schema.enum as string[]).map((one) => ({ value: one, text: one.replaceAll("_", " ") }));
  const usual = field.schema.default === undefined && !field.required;
  if (!usual && options.length <= FEW) {
    return <Segmented label={field.name} labelledBy={labelledBy} value={value} options={options} onChange={onChange} />;
  }
  return (
    <span className="select">
      <select
        id={id}
        value={value ?? ""}
        onChange={(event) => onChange(event.target.value || undefined)}
        aria-describedby={describedBy}
      >
        {usual && <option value="">{t("form.usual")}</option>}
        {options.map((one) => (
          <option key={one.value} value={one.value}>
            {one.text}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </span>
  );
}

function Toggle({ value, onChange, id, describedBy }: FieldProps) {
  return (
    <input
      id={id}
      type="checkbox"
      role="switch"
      checked={value === true}
      onChange={(event) => onChange(event.target.checked)}
      aria-describedby={describedBy}
    />
  );
}

// Whatever no other control is for, as JSON.
function Json({ value, onChange, id, describedBy, invalid }: FieldProps) {
  const read = (text: string) => {
    try {
      onChange(JSON.parse(text));
    } catch {
      onChange(text); // half-written: the server will say what is wrong if it stays so
    }
  };
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return (
    <textarea id={id} rows={2} className="code" value={text ?? ""} onChange={(event) => read(event.target.value)} aria-invalid={invalid} aria-describedby={describedBy} />
  );
}
