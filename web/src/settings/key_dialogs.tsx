// What is asked before a key is made, changed or ended, and its secret, which is shown this once.

import { useState } from "react";

import { Asked } from "../parts/asked";
import { CopyButton, Select } from "../parts/controls";
import { Dialog } from "../parts/dialog";
import { post } from "../talk/http";
import { useSession } from "../talk/session";
import type { ApiKey, NewKey } from "../talk/types";
import { useText } from "../text/text";
import type { Key } from "../text/en";

const SCOPES = ["api", "read-only", "admin", "metrics"] as const;
const DAY = 86_400; // seconds
const LIVES: Record<string, Key> = { "": "keys.never", [DAY]: "keys.day", [7 * DAY]: "keys.week", [30 * DAY]: "keys.month", [365 * DAY]: "keys.year" };
const OVERLAPS: Record<string, Key> = { 0: "keys.atOnce", 3600: "keys.hour", [DAY]: "keys.day", [7 * DAY]: "keys.week" };

interface KeyFormProps {
  tenant?: string; // absent: the caller's own
  onMade: (made: NewKey, name: string) => void;
  onClose: () => void;
}

export function KeyForm({ tenant, onMade, onClose }: KeyFormProps) {
  const { t } = useText();
  const { who } = useSession();
  const [name, setName] = useState("");
  const [scope, setScope] = useState<(typeof SCOPES)[number]>("api");
  const [models, setModels] = useState("");
  const [realtime, setRealtime] = useState(false);
  const [lives, setLives] = useState("");
  const make = async () => {
    const patterns = models.split(/[\s,]+/).filter(Boolean);
    const body = { alias: name.trim(), scope, realtime, ...(patterns.length && { models: patterns }), ...(lives && { expires_in_seconds: Number(lives) }) };
    const whose = tenant === undefined ? "" : `?tenant_id=${encodeURIComponent(tenant)}`;
    onMade(await post<NewKey>(`platform/v1/keys${whose}`, body), name.trim());
  };
  return (
    <Asked title={t("keys.make")} action={t("keys.makeGo")} disabled={!name.trim()} onConfirm={make} onClose={onClose}>
      <label className="field">
        <span className="field-name">{t("keys.name")}</span>
        <input type="text" value={name} maxLength={100} required autoFocus placeholder={t("keys.nameHint")} onChange={(event) => setName(event.target.value)} />
      </label>
      <fieldset className="field scopes">
        <legend className="field-name">{t("keys.scope")}</legend>
        {SCOPES.filter((one) => one !== "metrics" || (who?.operator && tenant === undefined)).map((one) => (
          <label key={one}>
            <input type="radio" name="scope" checked={scope === one} onChange={() => setScope(one)} />
            <span>
              <strong>{t(`keys.scope.${one}`)}</strong> <span className="muted">{t(`keys.scope.${one}.about`)}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <label className="field">
        <span className="field-name">{t("keys.models")}</span>
        <input type="text" value={models} placeholder={t("keys.allModels")} aria-describedby="keys-models" onChange={(event) => setModels(event.target.value)} />
        <span className="about" id="keys-models">
          {t("keys.modelsHint")}
        </span>
      </label>
      <label className="field switch">
        <span className="field-name">{t("keys.realtime")}</span>
        <input type="checkbox" role="switch" checked={realtime} onChange={(event) => setRealtime(event.target.checked)} />
      </label>
      <Choice name={t("keys.expires")} value={lives} options={LIVES} onChange={setLives} />
    </Asked>
  );
}

export function Rotation({ one, onMade, onClose }: { one: ApiKey; onMade: (made: NewKey) => Promise<void>; onClose: () => void }) {
  const { t } = useText();
  const [overlap, setOverlap] = useState(String(DAY));
  const rotate = async () => onMade(await post<NewKey>(`platform/v1/keys/${encodeURIComponent(one.key_id)}/rotate`, { overlap_seconds: Number(overlap) }));
  return (
    <Asked title={t("keys.rotateAsk", { name: one.alias })} action={t("keys.rotate")} onConfirm={rotate} onClose={onClose}>
      <p>{t("keys.rotateHint")}</p>
      <Choice name={t("keys.former")} value={overlap} options={OVERLAPS} onChange={setOverlap} />
    </Asked>
  );
}

export function Confirm(props: { title: string; text: string; action: string; onConfirm: () => Promise<void>; onClose: () => void }) {
  return (
    <Asked {...props} danger>
      <p>{props.text}</p>
    </Asked>
  );
}

export function Secret({ made, name, onClose }: { made: NewKey; name: string; onClose: () => void }) {
  const { t } = useText();
  return (
    <Dialog label={name} onClose={onClose}>
      <div className="form">
        <h2>{name}</h2>
        <p>{t("keys.once")}</p>
        <div className="code-box secret">
          <pre tabIndex={0} aria-label={t("sign.key")} data-secret>
            {made.key}
          </pre>
        </div>
        <div className="buttons">
          <CopyButton text={made.key} />
          <button type="button" className="button primary" onClick={onClose}>
            {t("keys.kept")}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

function Choice(props: { name: string; value: string; options: Record<string, Key>; onChange: (value: string) => void }) {
  const { t } = useText();
  return (
    <div className="field">
      <span className="field-name" aria-hidden="true">
        {props.name}
      </span>
      <Select label={props.name} value={props.value} onChange={props.onChange} options={Object.entries(props.options).map(([value, key]) => ({ value, text: t(key) }))} />
    </div>
  );
}
