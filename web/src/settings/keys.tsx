// The tenant's keys: who may enter, with what, until when.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { Icon } from "../parts/icons";
import { Failure, Loading } from "../parts/states";
import { toast } from "../parts/toast";
import { get, send } from "../talk/http";
import { useSession } from "../talk/session";
import type { ApiKey, NewKey } from "../talk/types";
import { useText } from "../text/text";
import { Confirm, KeyForm, Rotation, Secret } from "./key_dialogs";

type Open = { what: "make" } | { what: "rotate" | "revoke"; key: ApiKey } | { what: "secret"; made: NewKey; name: string } | null;

export function Keys({ mayManage }: { mayManage: boolean }) {
  const { t } = useText();
  const [open, setOpen] = useState<Open>(null);
  return (
    <section className="panel wide" aria-labelledby="settings-keys">
      <div className="report-head">
        <h2 id="settings-keys">{t("keys.title")}</h2>
        {mayManage && (
          <button type="button" className="button primary" onClick={() => setOpen({ what: "make" })}>
            <Icon name="plus" /> {t("keys.make")}
          </button>
        )}
      </div>
      {mayManage ? <List onOpen={setOpen} /> : <p className="muted">{t("keys.needsAdmin")}</p>}
      <Dialogs open={open} setOpen={setOpen} />
    </section>
  );
}

function List({ onOpen }: { onOpen: (open: Open) => void }) {
  const { t } = useText();
  const keys = useQuery({
    queryKey: ["keys"],
    queryFn: async ({ signal }) => (await get<{ keys: ApiKey[] }>("platform/v1/keys", signal)).keys,
    staleTime: 0,
  });
  if (keys.isPending) return <Loading />;
  if (keys.isError) return <Failure error={keys.error} retry={() => void keys.refetch()} />;
  return (
    <table className="stacked keys">
      <thead>
        <tr>
          <th scope="col">{t("keys.name")}</th>
          <th scope="col">{t("keys.scope")}</th>
          <th scope="col">{t("keys.models")}</th>
          <th scope="col">{t("keys.used")}</th>
          <th scope="col">{t("keys.expires")}</th>
          <td />
        </tr>
      </thead>
      <tbody>
        {keys.data.map((key) => (
          <Row key={key.key_id} one={key} onOpen={onOpen} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ one, onOpen }: { one: ApiKey; onOpen: (open: Open) => void }) {
  const { t, known, ago, time } = useText();
  const { key } = useSession();
  const isOwn = key.startsWith(`${one.key_id}:`);
  return (
    <tr>
      <th scope="row" className="key-name">
        {one.alias} {isOwn && <span className="state running">{t("keys.own")}</span>}
        <span className="id">{one.key_id.slice(0, 8)}…</span>
      </th>
      <td>
        {known(`scope.${one.scope}`, one.scope)}
        {one.realtime && <span className="muted small"> · {t("class.realtime")}</span>}
      </td>
      <td className="id" data-name={t("keys.models")}>{one.models.includes("*") ? t("keys.allModels") : one.models.join(", ")}</td>
      <td data-name={t("keys.used")} title={one.last_used_at ? time(one.last_used_at) : undefined}>{one.last_used_at ? ago(one.last_used_at) : t("keys.neverUsed")}</td>
      <td data-name={t("keys.expires")}>{one.expires_at ? time(one.expires_at) : t("keys.never")}</td>
      <td className="right">
        <div className="buttons">
          <button type="button" className="button small" onClick={() => onOpen({ what: "rotate", key: one })} aria-label={`${t("keys.rotate")}: ${one.alias}`}>
            {t("keys.rotate")}
          </button>
          <button type="button" className="button small danger" onClick={() => onOpen({ what: "revoke", key: one })} aria-label={`${t("keys.revoke")}: ${one.alias}`}>
            {t("keys.revoke")}
          </button>
        </div>
      </td>
    </tr>
  );
}

function Dialogs({ open, setOpen }: { open: Open; setOpen: (open: Open) => void }) {
  const { t } = useText();
  const { key, signIn, signOut } = useSession();
  const queries = useQueryClient();
  const close = () => setOpen(null);
  const isOwn = (one: ApiKey) => key.startsWith(`${one.key_id}:`);
  const shown = (made: NewKey, name: string) => {
    void queries.invalidateQueries({ queryKey: ["keys"] });
    setOpen({ what: "secret", made, name });
  };
  if (!open) return null;
  if (open.what === "make") return <KeyForm onMade={shown} onClose={close} />;
  if (open.what === "secret") return <Secret made={open.made} name={open.name} onClose={close} />;
  if (open.what === "rotate") {
    const rotated = async (made: NewKey) => {
      if (isOwn(open.key)) await signIn(made.key); // this tab goes on with the new one
      shown(made, open.key.alias);
    };
    return <Rotation one={open.key} onMade={rotated} onClose={close} />;
  }
  const revoke = async () => {
    await send(`platform/v1/keys/${encodeURIComponent(open.key.key_id)}`, { method: "DELETE" });
    if (isOwn(open.key)) return signOut();
    toast(t("keys.revoked"));
    await queries.invalidateQueries({ queryKey: ["keys"] });
    close();
  };
  return <Confirm title={t("keys.revokeAsk", { name: open.key.alias })} text={t(isOwn(open.key) ? "keys.revokeOwn" : "keys.revokeHint")} action={t("keys.revoke")} onConfirm={revoke} onClose={close} />;
}
