// Who shares this server, with what weight and within which limits; for the operator to change.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { Icon } from "../parts/icons";
import { Failure, Loading } from "../parts/states";
import { KeyForm, Secret } from "../settings/key_dialogs";
import { LIMITS } from "../settings/limits";
import { get } from "../talk/http";
import type { Limit, NewKey, Tenant } from "../talk/types";
import { useText } from "../text/text";
import { TenantForm } from "./tenant_form";

type Open = { what: "form"; tenant: Tenant | null } | { what: "key"; tenant: Tenant } | { what: "secret"; made: NewKey; name: string } | null;

export function Tenants() {
  const { t } = useText();
  const [open, setOpen] = useState<Open>(null);
  const queries = useQueryClient();
  const tenants = useQuery({
    queryKey: ["tenants"],
    queryFn: async ({ signal }) => (await get<{ tenants: Tenant[] }>("platform/v1/tenants", signal)).tenants,
  });
  const close = () => setOpen(null);
  const saved = () => (void queries.invalidateQueries({ queryKey: ["tenants"] }), close());
  return (
    <section className="panel wide" aria-labelledby="op-tenants">
      <div className="report-head">
        <h2 id="op-tenants">{t("tenants.title")}</h2>
        <button type="button" className="button" onClick={() => setOpen({ what: "form", tenant: null })}>
          <Icon name="plus" /> {t("tenants.make")}
        </button>
      </div>
      {tenants.isPending && <Loading />}
      {tenants.isError && <Failure error={tenants.error} retry={() => void tenants.refetch()} />}
      {tenants.data && <List tenants={tenants.data} onOpen={setOpen} />}
      {open?.what === "form" && <TenantForm tenant={open.tenant} onSaved={saved} onClose={close} />}
      {open?.what === "key" && <KeyForm tenant={open.tenant.tenant_id} onMade={(made, name) => setOpen({ what: "secret", made, name })} onClose={close} />}
      {open?.what === "secret" && <Secret made={open.made} name={open.name} onClose={close} />}
    </section>
  );
}

function List({ tenants, onOpen }: { tenants: Tenant[]; onOpen: (open: Open) => void }) {
  const { t, number, bytes } = useText();
  const show = (one: Limit, most: number | null) => (most === null ? "–" : one === "storage_bytes" ? bytes(most) : number(most, 0));
  return (
    <table className="stacked keys">
      <thead>
        <tr>
          <th scope="col">{t("keys.name")}</th>
          <th scope="col" className="right">{t("tenants.weight")}</th>
          {LIMITS.map((one) => (
            <th key={one} scope="col" className="right">{t(`limits.${one}`)}</th>
          ))}
          <td />
        </tr>
      </thead>
      <tbody>
        {tenants.map((tenant) => (
          <tr key={tenant.tenant_id}>
            <th scope="row" className="key-name">{tenant.name}</th>
            <td className="right" data-name={t("tenants.weight")}>{number(tenant.weight)}</td>
            {LIMITS.map((one) => (
              <td key={one} className="right" data-name={t(`limits.${one}`)}>{show(one, tenant.limits[one])}</td>
            ))}
            <td className="right">
              <div className="buttons">
                <button type="button" className="button small" onClick={() => onOpen({ what: "form", tenant })} aria-label={`${t("tenants.change")}: ${tenant.name}`}>
                  {t("tenants.change")}
                </button>
                <button type="button" className="button small" onClick={() => onOpen({ what: "key", tenant })} aria-label={`${t("keys.make")}: ${tenant.name}`}>
                  {t("keys.make")}
                </button>
              </div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
