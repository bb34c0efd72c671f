// The operator's view of the machine, live: devices, the queue, and how the last hour went.

import { Link } from "wouter";

import { Fact, Facts, State } from "../parts/controls";
import { Empty, Loading } from "../parts/states";
import { useLive } from "../talk/live";
import { useSession } from "../talk/session";
import type { Device, Floor, Percentiles } from "../talk/types";
import { useText } from "../text/text";
import { Bars, Spark } from "./charts";
import { Tenants } from "./tenants";

const MINUTES = 60;

export default function Operator() {
  const { t } = useText();
  const { who } = useSession();
  if (who && !who.operator) return <Empty icon="operator" title={t("op.forbidden")} />;
  return <Live />;
}

function Live() {
  const { t } = useText();
  const { body, connected } = useLive<Floor>("operator");
  return (
    <>
      <div className="page-head">
        <h1>{t("op.title")}</h1>
        <p className="muted">
          {t("op.lead")} <span className={connected ? "live on" : "live"}>{t(connected ? "common.live" : "common.offline")}</span>
        </p>
      </div>
      {!body && <Loading />}
      {body?.error && <Empty icon="operator" title={t("op.forbidden")} />}
      {body && !body.error && <Dashboard floor={body} />}
    </>
  );
}

function Dashboard({ floor }: { floor: Floor }) {
  const { t } = useText();
  return (
    <div className="dashboard">
      <section className="panel wide" aria-labelledby="op-devices">
        <h2 id="op-devices" className="section-head">
          {t("op.devices")}
        </h2>
        {floor.devices.length === 0 && <p className="muted">{t("op.noDevices")}</p>}
        {floor.devices.map((device) => (
          <DeviceCard key={device.worker} device={device} />
        ))}
      </section>
      <Queue floor={floor} />
      <Latency floor={floor} />
      <Throughput floor={floor} />
      <Outcomes floor={floor} />
      <Tenants />
    </div>
  );
}

function DeviceCard({ device }: { device: Device }) {
  const { t, known, bytes, percent, number, seconds } = useText();
  const shares = busyShares(device);
  const busy = shares.length ? shares.reduce((sum, one) => sum + one, 0) / shares.length : 0;
  const batches = device.pulses.slice(1).map(({ calls, samples }) => (calls > 0 ? samples / calls : 0));
  const right = accuracy(device);
  const stage = device.call && known(`play.stage.${device.call.stage}`, device.call.stage);
  return (
    <article className="device">
      <h3>
        {device.name ?? device.worker} <span className="muted">{device.device ?? device.worker}</span>
      </h3>
      <div className="device-grid">
        <div className="gauge">
          <span className="figure">{percent(busy)}</span>
          <span className="muted">{t("op.busy")}</span>
          <Spark values={shares} most={1} label={t("op.busyChart", { n: percent(busy) })} />
        </div>
        <div className="gauge">
          <span className="figure">{number(batches.at(-1) ?? 0)}</span>
          <span className="muted">{t("op.batch")}</span>
          <Spark values={batches} most={Math.max(...batches, 1)} label={t("op.batchChart", { n: Math.max(...batches, 0) })} />
        </div>
        <Facts>
          <Fact name={t("op.now")}>
            {!device.ready ? t("op.starting") : device.call ? t("op.call", { stage: stage!, model: device.call.model }) : t("op.idle")}
          </Fact>
          <Fact name={t("op.accuracy")}>{right === null ? "–" : percent(right)}</Fact>
          <Fact name={t("op.resident")}>{device.resident.join(", ") || t("op.none")}</Fact>
          {device.memory_bytes !== null && <Fact name={t("op.memory")}>{bytes(device.memory_bytes)}</Fact>}
        </Facts>
      </div>
      {device.work.length > 0 && (
        <>
          <h4>{t("op.work")}</h4>
          <ul className="work">
            {device.work.map((work) => (
              <li key={work.request_id}>
                <State state={work.begun ? "running" : "leased"} />
                <Link href={`/requests/${work.request_id}`} className="id">
                  {work.model}
                </Link>
                <span className="muted">
                  {work.progress && work.begun
                    ? `${known(`play.stage.${work.progress.stage}`, work.progress.stage)}, ${t("play.step", { step: work.progress.step, steps: work.progress.steps })}`
                    : t("op.waits")}
                </span>
                {work.progress && work.begun && (
                  <progress
                    max={work.progress.steps || 1}
                    value={work.progress.step}
                    aria-label={t("play.step", { step: work.progress.step, steps: work.progress.steps })}
                  />
                )}
                <span className="muted">{t("op.left", { time: seconds(work.left_seconds) })}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </article>
  );
}

// How much of the time between beats the device was in calls; long calls are told of at their end, in one beat.
function busyShares({ pulses }: Device): number[] {
  return pulses.slice(1).map((pulse, at) => {
    const since = (Date.parse(pulse.at) - Date.parse(pulses[at]!.at)) / 1000;
    return since > 0 ? Math.min(1, pulse.busy_seconds / since) : 0;
  });
}

// How much of the predicted time of the latest calls came true; null while none is known.
function accuracy({ pulses }: Device): number | null {
  const busy = pulses.reduce((sum, one) => sum + one.busy_seconds, 0);
  const missed = pulses.reduce((sum, one) => sum + one.missed_seconds, 0);
  return busy > 0 ? Math.max(0, 1 - missed / busy) : null;
}

function Queue({ floor }: { floor: Floor }) {
  const { t, known, number } = useText();
  return (
    <section className="panel" aria-labelledby="op-queue">
      <h2 id="op-queue" className="section-head">
        {t("op.queue")}
      </h2>
      {floor.queue.length === 0 ? (
        <p className="muted">{t("op.noQueue")}</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">{t("op.class")}</th>
              <th scope="col">{t("op.tenant")}</th>
              <th scope="col">{t("meta.model")}</th>
              <th scope="col" className="right">
                {t("op.waiting")}
              </th>
            </tr>
          </thead>
          <tbody>
            {floor.queue.map((one) => (
              <tr key={`${one.class} ${one.tenant} ${one.model}`}>
                <td>{known(`class.${one.class}`, one.class)}</td>
                <td>{one.tenant}</td>
                <td className="id">{one.model}</td>
                <td className="right">{number(one.waiting)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Latency({ floor }: { floor: Floor }) {
  const { t } = useText();
  const { waited, total } = floor.recent;
  return (
    <section className="panel" aria-labelledby="op-latency">
      <h2 id="op-latency" className="section-head">
        {t("op.latency")}
      </h2>
      {!total ? (
        <p className="muted">{t("op.noLatency")}</p>
      ) : (
        <table>
          <thead>
            <tr>
              <td />
              <th scope="col" className="right">p50</th>
              <th scope="col" className="right">p90</th>
              <th scope="col" className="right">p99</th>
            </tr>
          </thead>
          <tbody>
            <PercentileRow name={t("op.waited")} values={waited} />
            <PercentileRow name={t("op.total")} values={total} />
          </tbody>
        </table>
      )}
    </section>
  );
}

function PercentileRow({ name, values }: { name: string; values: Percentiles }) {
  const { seconds } = useText();
  return (
    <tr>
      <th scope="row">{name}</th>
      {(["p50", "p90", "p99"] as const).map((part) => (
        <td key={part} className="right">
          {values ? seconds(values[part]) : "–"}
        </td>
      ))}
    </tr>
  );
}

function Throughput({ floor }: { floor: Floor }) {
  const { t } = useText();
  const now = Math.floor(Date.now() / 60_000);
  const values = Array.from({ length: MINUTES }, (_, at) => floor.recent.by_minute[String(now - MINUTES + 1 + at)] ?? 0);
  return (
    <section className="panel" aria-labelledby="op-throughput">
      <h2 id="op-throughput" className="section-head">
        {t("op.throughput")}
      </h2>
      <Bars values={values} label={t("op.throughputChart", { n: values.reduce((sum, one) => sum + one, 0) })} />
    </section>
  );
}

function Outcomes({ floor }: { floor: Floor }) {
  const { t, number } = useText();
  const outcomes = Object.entries(floor.recent.outcomes);
  const errors = Object.entries(floor.recent.errors);
  return (
    <section className="panel" aria-labelledby="op-outcomes">
      <h2 id="op-outcomes" className="section-head">
        {t("op.outcomes")}
      </h2>
      {outcomes.length === 0 && <p className="muted">{t("op.noLatency")}</p>}
      <ul className="outcomes">
        {outcomes.map(([outcome, count]) => (
          <li key={outcome}>
            <State state={outcome} /> {number(count)}
          </li>
        ))}
      </ul>
      {errors.length > 0 && (
        <>
          <h3>{t("op.errors")}</h3>
          <ul className="outcomes">
            {errors.map(([kind, count]) => (
              <li key={kind}>
                <code>{kind}</code> {number(count)}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
