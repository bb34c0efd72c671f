// How much of the machine is the tenant's, and how much of that is in use.

import { useQuery } from "@tanstack/react-query";

import { Failure, Loading } from "../parts/states";
import { get } from "../talk/http";
import type { Limit, Limits } from "../talk/types";
import { useText } from "../text/text";

const OFTEN = 5_000; // ms
export const LIMITS: Limit[] = ["concurrency", "queue_length", "rate_per_minute", "storage_bytes"];

export function useLimits() {
  return useQuery({
    queryKey: ["limits"],
    queryFn: ({ signal }) => get<Limits>("platform/v1/limits", signal),
    refetchInterval: OFTEN,
    staleTime: 0,
  });
}

export function LimitsPanel() {
  const { t } = useText();
  const { data, error, refetch } = useLimits();
  return (
    <section className="panel" aria-labelledby="settings-limits">
      <h2 id="settings-limits" className="section-head">
        {t("limits.title")}
      </h2>
      {error ? <Failure error={error} retry={() => void refetch()} /> : data ? <Standing found={data} /> : <Loading />}
    </section>
  );
}

function Standing({ found }: { found: Limits }) {
  const { t, percent, number } = useText();
  const { share, queue } = found;
  return (
    <>
      <p>{t("limits.share", { part: percent(share.fraction), weight: number(share.weight) })}</p>
      {queue.place !== null && queue.tenants > 1 && <p className="muted">{t("limits.place", { place: number(queue.place), of: number(queue.tenants) })}</p>}
      <ul className="limits">
        {LIMITS.map((one) => (
          <Line key={one} name={one} use={found.use[one]} most={found.limits[one]} />
        ))}
      </ul>
    </>
  );
}

function Line({ name, use, most }: { name: Limit; use: number; most: number | null }) {
  const { t, number, bytes } = useText();
  const show = name === "storage_bytes" ? bytes : (n: number) => number(n, 0);
  return (
    <li>
      <span>{t(`limits.${name}`)}</span>
      <span className="right">{most === null ? show(use) : t("limits.of", { use: show(use), most: show(most) })}</span>
      {most === null ? (
        <span className="muted small">{t("limits.none")}</span>
      ) : (
        <meter min={0} max={most || 1} value={Math.min(use, most)} high={most * 0.9} optimum={0} aria-label={t(`limits.${name}`)} />
      )}
    </li>
  );
}
