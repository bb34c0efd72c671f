// The tenant's requests, live: the newest and those under way come over the WebSocket, older ones in pages.

import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "wouter";

import { Segmented, State } from "../parts/controls";
import { Empty, Failure, Loading } from "../parts/states";
import { get } from "../talk/http";
import { useLive } from "../talk/live";
import type { Listed } from "../talk/types";
import { useText } from "../text/text";
import { Standing } from "./standing";

const FILTERS = { "": "", open: "state=queued&state=scheduled&state=blocked&state=leased&state=running", ok: "outcome=ok", failed: "outcome=failed&outcome=expired" } as const;
type Filter = keyof typeof FILTERS;

interface Page {
  requests: Listed[];
  next_cursor: string | null;
}

export default function Requests() {
  const { t } = useText();
  const [filter, setFilter] = useState<Filter>("");
  const { pages, requests, connected } = useRequests(filter);
  return (
    <>
      <div className="page-head">
        <h1>{t("requests.title")}</h1>
        <p className="muted">
          {t("requests.lead")} <span className={connected ? "live on" : "live"}>{t(connected ? "common.live" : "common.offline")}</span>
        </p>
      </div>
      <div className="filters">
        <Segmented
          label={t("requests.state")}
          value={filter}
          onChange={setFilter}
          options={[
            { value: "", text: t("common.all") },
            { value: "open", text: t("requests.open") },
            { value: "ok", text: t("state.ok") },
            { value: "failed", text: t("state.failed") },
          ]}
        />
      </div>
      {pages.isPending && <Loading />}
      {pages.isError && <Failure error={pages.error} retry={() => void pages.refetch()} />}
      {pages.isSuccess && requests.length === 0 && (
        <Empty icon="requests" title={t("requests.empty")}>
          {t("requests.emptyHint")}
        </Empty>
      )}
      {requests.length > 0 && <List requests={requests} />}
      {pages.hasNextPage && (
        <p className="center">
          <button type="button" className="button" disabled={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
            {t("common.more")}
          </button>
        </p>
      )}
    </>
  );
}

function useRequests(filter: Filter) {
  const { body: live, connected } = useLive<{ requests: Listed[] }>("requests");
  const pages = useInfiniteQuery({
    queryKey: ["requests", filter],
    queryFn: ({ pageParam, signal }) => get<Page>(`api/page/requests?limit=50${pageParam && `&cursor=${pageParam}`}&${FILTERS[filter]}`, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
    staleTime: 0,
  });
  const requests = useMemo(() => {
    const found = new Map<string, Listed>();
    for (const one of pages.data?.pages.flatMap((page) => page.requests) ?? []) found.set(one.request_id, one);
    for (const one of live?.requests ?? []) found.set(one.request_id, one);
    return [...found.values()].filter((one) => passes(one, filter)).sort((one, other) => (one.created_at < other.created_at ? 1 : -1));
  }, [pages.data, live, filter]);
  return { pages, requests, connected };
}

function passes(one: Listed, filter: Filter): boolean {
  if (filter === "open") return one.outcome === null;
  if (filter === "ok") return one.outcome === "ok";
  if (filter === "failed") return one.outcome === "failed" || one.outcome === "expired";
  return true;
}

function List({ requests }: { requests: Listed[] }) {
  const { t, ago, seconds, money, time } = useText();
  return (
    <table className="requests">
      <thead>
        <tr>
          <th scope="col">{t("requests.state")}</th>
          <th scope="col">{t("requests.prompt")}</th>
          <th scope="col">{t("meta.model")}</th>
          <th scope="col">{t("requests.when")}</th>
          <th scope="col">{t("requests.took")}</th>
          <th scope="col">{t("requests.price")}</th>
        </tr>
      </thead>
      <tbody>
        {requests.map((one) => (
          <tr key={one.request_id}>
            <td>
              <State state={one.outcome ?? one.state} />
            </td>
            <td className="prompt">
              <Link href={`/requests/${one.request_id}`}>{one.prompt || one.request_id}</Link>
              {one.outcome === null && <Standing one={one} />}
              {one.error && one.outcome !== "cancelled" && <span className="muted small">{one.error.message}</span>}
            </td>
            <td className="id">{one.endpoint_id}</td>
            <td title={time(one.created_at)}>{ago(one.created_at)}</td>
            <td>{one.inference_seconds === null ? "" : seconds(one.inference_seconds)}</td>
            <td>{one.outcome === null || one.outcome === "ok" ? money(one.price.amount, one.price.currency) : ""}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
