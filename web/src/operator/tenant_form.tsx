// A tenant's name, weight and limits; an empty limit is none.

import { useState } from "react";

import { Asked } from "../parts/asked";
import { LIMITS } from "../settings/limits";
import { send } from "../talk/http";
import type { Limit, Tenant } from "../talk/types";
import { useText } from "../text/text";

const HEAVIEST = 1_000_000;

export function TenantForm({ tenant, onSaved, onClose }: { tenant: Tenant | null; onSaved: () => void; onClose: () => void }) {
  const { t } = useText();
  const [name, setName] = useState("");
  const [weight, setWeight] = useState(String(tenant?.weight ?? 1));
  const [limits, setLimits] = useState<Partial<Record<Limit, string>>>(() =>
    Object.fromEntries(LIMITS.map((one) => [one, String(tenant?.limits[one] ?? "")])),
  );
  const save = async () => {
    // What is left empty is no limit of an old tenant; a new one gets what the settings say.
    const said = LIMITS.filter((one) => tenant || limits[one]).map((one) => [one, limits[one] ? Number(limits[one]) : null]);
    const body = { weight: Number(weight), ...Object.fromEntries(said), ...(!tenant && { name: name.trim() }) };
    const path = tenant ? `platform/v1/tenants/${encodeURIComponent(tenant.tenant_id)}` : "platform/v1/tenants";
    await send(path, { method: tenant ? "PATCH" : "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    onSaved();
  };
  const title = tenant ? `${t("tenants.change")}: ${tenant.name}` : t("tenants.make");
  return (
    <Asked title={title} action={t("tenants.save")} disabled={!tenant && !name.trim()} onConfirm={save} onClose={onClose}>
      {!tenant && (
        <label className="field">
          <span className="field-name">{t("keys.name")}</span>
          <input type="text" value={name} maxLength={80} required autoFocus onChange={(event) => setName(event.target.value)} />
        </label>
      )}
      <Whole name={t("tenants.weight")} value={weight} least={1} most={HEAVIEST} onChange={setWeight} />
      {LIMITS.map((one) => (
        <Whole key={one} name={`${t(`limits.${one}`)}${one === "storage_bytes" ? t("tenants.bytes") : ""}`} value={limits[one] ?? ""} onChange={(text) => setLimits({ ...limits, [one]: text })} />
      ))}
      <p className="about">{t("tenants.hint")}</p>
    </Asked>
  );
}

function Whole(props: { name: string; value: string; least?: number; most?: number; onChange: (text: string) => void }) {
  return (
    <label className="field">
      <span className="field-name">{props.name}</span>
      <input type="number" min={props.least ?? 0} max={props.most} step={1} value={props.value} required={props.least !== undefined} onChange={(event) => props.onChange(event.target.value)} />
    </label>
  );
}
