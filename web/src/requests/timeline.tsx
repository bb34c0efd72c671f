// What happened when: the wait, then what the engine did, each attempt on a scale of its own.

import type { Attempt, OneRequest, Span } from "../talk/types";
import { State } from "../parts/controls";
import { useText } from "../text/text";

export function Timeline({ one, attempts }: { one: OneRequest; attempts: Attempt[] }) {
  const { t, seconds } = useText();
  const first = attempts[0];
  const end = first ? Date.parse(first.started_at ?? first.leased_at) : one.ended_at ? Date.parse(one.ended_at) : Date.now();
  const waited = Math.max(0, end - Date.parse(one.created_at)) / 1000;
  return (
    <div className="timeline">
      <p>
        <strong>{t("requests.waited", { time: seconds(waited) })}</strong>
      </p>
      {attempts.map((attempt) => (
        <AttemptRow key={attempt.number} attempt={attempt} />
      ))}
    </div>
  );
}

function AttemptRow({ attempt }: { attempt: Attempt }) {
  const { t, seconds } = useText();
  const total = Math.max(...attempt.timeline.map((span) => span.start_seconds + span.seconds), 0.001);
  return (
    <div className="attempt">
      <p>
        <strong>{t("requests.attempt", { n: attempt.number })}</strong> {attempt.outcome && <State state={attempt.outcome} />}{" "}
        <span className="muted">
          {attempt.worker}
          {attempt.device_seconds !== null && ` · ${t("requests.device", { time: seconds(attempt.device_seconds) })}`}
        </span>
      </p>
      {attempt.timeline.length === 0 && <p className="muted">{t("requests.noTimeline")}</p>}
      {attempt.timeline.length > 0 && (
        <>
          <div className="spans" aria-hidden="true">
            {attempt.timeline.map((span, at) => (
              <span
                key={at}
                className={`span ${span.stage}`}
                style={{ left: `${(span.start_seconds / total) * 100}%`, width: `${(span.seconds / total) * 100}%` }}
              />
            ))}
          </div>
          <ol className="span-list">
            {attempt.timeline.map((span, at) => (
              <SpanLine key={at} span={span} />
            ))}
          </ol>
        </>
      )}
    </div>
  );
}

function SpanLine({ span }: { span: Span }) {
  const { t, known, seconds } = useText();
  const { smallest, largest } = span.batch;
  const batches = smallest === largest ? t("requests.batch", { n: largest }) : t("requests.batches", { low: smallest, high: largest });
  return (
    <li>
      <span className={`dot ${span.stage}`} aria-hidden="true" />
      <strong>{known(`play.stage.${span.stage}`, span.stage)}</strong> {seconds(span.seconds)}
      <span className="muted">
        {" "}
        · {t("requests.calls", { n: span.calls })}, {batches}
      </span>
    </li>
  );
}
