// One request: where it stands, what happened when, what it was asked and what it made.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";

import { CopyButton, Fact, Facts, State } from "../parts/controls";
import { Icon } from "../parts/icons";
import { isTiny } from "../parts/pictures";
import { Failure, Loading, useReason } from "../parts/states";
import { get, post, send } from "../talk/http";
import type { Detail, OneRequest } from "../talk/types";
import { useText } from "../text/text";
import { mark } from "../models/share";
import { Deliveries } from "./deliveries";
import { Standing } from "./standing";
import { Timeline } from "./timeline";

const SELDOM = 5000; // ms between looks at a webhook that is to be told
const LOOK = 1000; // ms between looks at one that is under way

export default function OneRequestView({ id }: { id: string }) {
  const { t } = useText();
  const one = useQuery({
    queryKey: ["request", id],
    queryFn: ({ signal }) => get<OneRequest>(`api/page/requests/${encodeURIComponent(id)}`, signal),
    refetchInterval: (query) => (query.state.data && query.state.data.outcome === null ? LOOK : false),
    staleTime: 0,
  });
  const detail = useQuery({
    queryKey: ["request", id, "detail", one.data?.outcome, one.data?.attempts],
    queryFn: ({ signal }) => get<Detail>(`platform/v1/models/requests/${encodeURIComponent(id)}`, signal),
    enabled: one.isSuccess,
    refetchInterval: (query) => (query.state.data?.webhook?.next_at ? SELDOM : false),
  });
  return (
    <>
      <p className="back">
        <Link href="/requests">
          <Icon name="left" /> {t("requests.back")}
        </Link>
      </p>
      {one.isPending && <Loading />}
      {one.isError && <Failure error={one.error} retry={() => void one.refetch()} />}
      {one.data && <Shown one={one.data} detail={detail.data} />}
    </>
  );
}

function Shown({ one, detail }: { one: OneRequest; detail: Detail | undefined }) {
  const { t, time, seconds, money, known } = useText();
  return (
    <>
      <div className="page-head">
        <h1>{one.prompt || one.request_id}</h1>
        <p>
          <State state={one.outcome ?? one.state} /> {one.outcome === null && <Standing one={one} />}
        </p>
        {one.error && <p className="problem">{one.error.message}</p>}
        <Actions one={one} />
      </div>
      <div className="request">
        <div>
          {one.outputs.length > 0 && (
            <Section title={t("requests.outputs")}>
              <div className={`results n${Math.min(one.outputs.length, 4)}`}>
                {one.outputs.map((made) => (
                  <a key={made.url} href={made.shown_url} target="_blank" rel="noreferrer" className="picture">
                    <img src={made.shown_url} alt={t("play.picture", { n: made.index + 1, prompt: one.prompt ?? "" })} className={isTiny(made.width) ? "tiny" : undefined} />
                  </a>
                ))}
              </div>
            </Section>
          )}
          <Section title={t("requests.timeline")}>
            {detail ? <Timeline one={one} attempts={detail.attempts} /> : <Loading />}
          </Section>
          {detail?.webhook && (
            <Section title={t("hook.title")}>
              <Deliveries id={one.request_id} hook={detail.webhook} />
            </Section>
          )}
          <Section title={t("requests.log")}>
            <Log one={one} />
          </Section>
        </div>
        <div>
          <Section title={t("gallery.details")}>
            <Facts>
              <Fact name={t("requests.id")}>
                <code>{one.request_id}</code>
              </Fact>
              <Fact name={t("meta.model")}>
                <Link href={`/models/${one.endpoint_id}`}>{one.endpoint_id}</Link> · {t("meta.revision")} {one.model_revision.slice(0, 12)}
              </Fact>
              {one.asked && <Fact name={t("meta.seed")}>{one.asked.seed}</Fact>}
              <Fact name={t("requests.sent")}>{time(one.created_at)}</Fact>
              {one.ended_at && <Fact name={t("requests.ended")}>{time(one.ended_at)}</Fact>}
              {one.inference_seconds !== null && <Fact name={t("meta.took")}>{seconds(one.inference_seconds)}</Fact>}
              <Fact name={t("meta.price")}>{money(one.price.amount, one.price.currency)}</Fact>
              <Fact name={t("requests.class")}>{known(`class.${one.class}`, one.class)}</Fact>
              <Fact name={t("requests.dialect")}>{one.dialect}</Fact>
              {one.expires_at && <Fact name={t("meta.expires")}>{time(one.expires_at)}</Fact>}
            </Facts>
          </Section>
          <Section title={t("requests.input")}>
            {one.input ? (
              <div className="code-box">
                <CopyButton text={JSON.stringify(one.input, null, 2)} />
                <pre tabIndex={0} aria-label={t("requests.input")}>
                  {JSON.stringify(one.input, null, 2)}
                </pre>
              </div>
            ) : (
              <p className="muted">{t("requests.noInput")}</p>
            )}
          </Section>
        </div>
      </div>
    </>
  );
}

function Section({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section className="panel">
      <h2 className="section-head">{title}</h2>
      {children}
    </section>
  );
}

function Actions({ one }: { one: OneRequest }) {
  const { t } = useText();
  const [, go] = useLocation();
  const [error, setError] = useState<unknown>(null);
  const reason = useReason(error);
  const attempt = (work: () => Promise<void>) => () => void work().catch(setError);
  const cancel = attempt(async () => void (await send(`queue/requests/${one.request_id}/cancel`, { method: "PUT" })));
  const retry = attempt(async () => {
    const told = await post<{ request_id: string }>(`queue/${one.endpoint_id}`, one.input);
    go(`/requests/${told.request_id}`);
  });
  return (
    <>
      <div className="buttons">
        {one.outcome === null && (
          <button type="button" className="button danger" onClick={cancel} disabled={one.cancelling}>
            {t(one.cancelling ? "play.cancelling" : "common.cancel")}
          </button>
        )}
        {one.input && (
          <>
            <button type="button" className="button" onClick={retry}>
              <Icon name="again" /> {t("requests.retry")}
            </button>
            <Link className="button" href={`/models/${one.endpoint_id}${mark(one.input)}`}>
              <Icon name="play" /> {t("gallery.reuse")}
            </Link>
          </>
        )}
      </div>
      {error != null && (
        <p className="problem" role="alert">
          {reason}
        </p>
      )}
    </>
  );
}

function Log({ one }: { one: OneRequest }) {
  const { t, time } = useText();
  if (one.logs.length === 0) return <p className="muted">{t("requests.noLog")}</p>;
  return (
    <ol className="log">
      {one.logs.map((line, at) => (
        <li key={at} className={line.level.toLowerCase()}>
          <time dateTime={line.at}>{time(line.at)}</time> {line.message}
        </li>
      ))}
    </ol>
  );
}
