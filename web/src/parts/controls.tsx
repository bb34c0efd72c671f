// Small controls that several views use, made of the browser's own.

import { useId, type ReactNode } from "react";

import { useText } from "../text/text";
import { Icon, type IconName } from "./icons";
import { toast } from "./toast";

export function IconButton(props: { icon: IconName; label: string; onClick: () => void; disabled?: boolean; className?: string }) {
  return (
    <button
      type="button"
      className={`icon-button ${props.className ?? ""}`}
      onClick={props.onClick}
      disabled={props.disabled}
      aria-label={props.label}
      title={props.label}
    >
      <Icon name={props.icon} />
    </button>
  );
}

// One of a few, all in sight.
export function Segmented<T extends string>(props: {
  label: string;
  value: T;
  options: { value: T; text: string }[];
  onChange: (value: T) => void;
  labelledBy?: string;
}) {
  const name = useId();
  return (
    <div
      className="segmented"
      role="radiogroup"
      aria-label={props.labelledBy ? undefined : props.label}
      aria-labelledby={props.labelledBy}
    >
      {props.options.map(({ value, text }) => (
        <label key={value}>
          <input type="radio" name={name} checked={value === props.value} onChange={() => props.onChange(value)} />
          <span>{text}</span>
        </label>
      ))}
    </div>
  );
}

export function Search(props: { label: string; value: string; onChange: (text: string) => void }) {
  return (
    <label className="search">
      <Icon name="search" />
      <span className="hidden">{props.label}</span>
      <input type="search" value={props.value} placeholder={props.label} onChange={(event) => props.onChange(event.target.value)} />
    </label>
  );
}

export function Select(props: {
  label: string;
  value: string;
  options: { value: string; text: string }[];
  onChange: (value: string) => void;
}) {
  return (
    <label className="select">
      <span className="hidden">{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChange(event.target.value)}>
        {props.options.map(({ value, text }) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </label>
  );
}

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useText();
  const copy = useCopy();
  return (
    <button type="button" className="button small" onClick={() => copy(text)}>
      <Icon name="copy" /> {label ?? t("common.copy")}
    </button>
  );
}

export function useCopy(): (text: string) => void {
  const { t } = useText();
  return (text) => {
    navigator.clipboard.writeText(text).then(
      () => toast(t("common.copied")),
      () => toast(t("common.notCopied")),
    );
  };
}

export function State({ state }: { state: string }) {
  const { known } = useText();
  return <span className={`state ${state}`}>{known(`state.${state}`, state)}</span>;
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
