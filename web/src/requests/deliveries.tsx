// What became of telling the request's webhook: every try, and one more on demand.

import { useQueryClient } from "@tanstack/react-query";

import { Icon } from "../parts/icons";
import { toast } from "../parts/toast";
import { post } from "../talk/http";
import type { Webhook } from "../talk/types";
import { useText } from "../text/text";

export function Deliveries({ id, hook }: { id: string; hook: Webhook }) {
  const { t, ago } = useText();
  const queries = useQueryClient();
  const again = async () => {
    await post(`platform/v1/models/requests/${encodeURIComponent(id)}/redeliver`, {});
    toast(t("hook.asked"));
    await queries.invalidateQueries({ queryKey: ["request", id] });
  };
  const next = hook.next_at && t("hook.next", { when: ago(hook.next_at) });
  return (
    <div className="timeline">
      <p>
        <code className="address">{hook.url}</code>
      </p>
      <p>
        {hook.delivered_at && <strong>{t("hook.delivered", { when: ago(hook.delivered_at) })}</strong>}{" "}
        {next || (!hook.delivered_at && t(hook.tries.length ? "hook.given" : "hook.waits"))}
      </p>
      {hook.tries.length > 0 && (
        <ol className="log">
          {hook.tries.map((one) => (
            <Try key={one.time} one={one} />
          ))}
        </ol>
      )}
      {hook.tries.length > 0 && (
        <div className="buttons">
          <button type="button" className="button small" onClick={() => void again().catch(() => toast(t("common.failed")))}>
            <Icon name="again" /> {t("hook.again")}
          </button>
        </div>
      )}
    </div>
  );
}

function Try({ one }: { one: Webhook["tries"][number] }) {
  const { t, time, seconds } = useText();
  const isTaken = one.status !== null && one.status < 300;
  return (
    <li className={isTaken ? undefined : "error"}>
      <time dateTime={one.time}>{time(one.time)}</time>{" "}
      {one.error ?? t("hook.status", { status: String(one.status), time: seconds(one.milliseconds / 1000) })}
    </li>
  );
}
