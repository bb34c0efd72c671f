// Spend and work by day, model and key; what may be spent; both to take away.

import { useState } from "react";

import { Segmented, Select } from "../parts/controls";
import { Icon } from "../parts/icons";
import { Empty, Failure, Loading } from "../parts/states";
import { toast } from "../parts/toast";
import { useSession } from "../talk/session";
import type { UsedRow } from "../talk/types";
import { useText } from "../text/text";
import { Budget } from "./budget";
import { Columns } from "./chart";
import { exportInvoices, exportUsage } from "./export";
import { lastDays, nameOf, seriesOf, useBilling, useUsed, type By, type Measure } from "./reading";

type Days = "7" | "30" | "90";

export default function Usage() {
  const { t } = useText();
  const { who } = useSession();
  return (
    <>
      <div className="page-head">
        <h1>{t("usage.title")}</h1>
        <p className="muted">{t("usage.lead")}</p>
      </div>
      {!who ? <Loading /> : who.scopes.includes("ADMIN") ? <Account /> : <Empty icon="usage" title={t("usage.needsAdmin")} />}
    </>
  );
}

function Account() {
  const { t } = useText();
  const [days, setDays] = useState<Days>("30");
  const used = useUsed(Number(days));
  const billing = useBilling();
  const error = used.error ?? billing.error;
  return (
    <>
      <div className="filters">
        <Segmented
          label={t("usage.period")}
          value={days}
          onChange={setDays}
          options={(["7", "30", "90"] as const).map((value) => ({ value, text: t("usage.days", { n: Number(value) }) }))}
        />
        <Exports rows={used.data ?? []} days={days} />
      </div>
      {error && <Failure error={error} retry={() => void (used.refetch(), billing.refetch())} />}
      {!error && (used.isPending || billing.isPending) && <Loading />}
      {!error && used.data && billing.data && (
        <div className="usage">
          <div className="figures">
            <Figures rows={used.data} />
            {billing.data.purses.map((purse) => (
              <Budget key={purse.currency} purse={purse} />
            ))}
          </div>
          {used.data.length === 0 ? (
            <section className="panel">
              <Empty icon="usage" title={t("usage.empty")}>
                {t("usage.emptyHint")}
              </Empty>
            </section>
          ) : (
            <Report rows={used.data} days={Number(days)} />
          )}
        </div>
      )}
    </>
  );
}

function Exports({ rows, days }: { rows: UsedRow[]; days: Days }) {
  const { t } = useText();
  const month = new Date().toISOString().slice(0, 7); // invoices are of UTC's months
  return (
    <div className="buttons">
      <button type="button" className="button" disabled={rows.length === 0} onClick={() => exportUsage(rows, `laterna-usage-${days}-days`)}>
        <Icon name="download" /> {t("usage.export")}
      </button>
      <button type="button" className="button" onClick={() => void exportInvoices(month).catch(() => toast(t("common.failed")))}>
        <Icon name="download" /> {t("usage.invoice", { month })}
      </button>
    </div>
  );
}

function Figures({ rows }: { rows: UsedRow[] }) {
  const { t, number, seconds } = useText();
  const sum = (measure: Measure) => rows.reduce((total, row) => total + row[measure], 0);
  const pictures = rows.filter((row) => row.unit === "images").reduce((total, row) => total + row.quantity, 0);
  return (
    <>
      <Figure value={number(sum("requests"), 0)} name={t("usage.requests")} />
      <Figure value={number(pictures, 0)} name={t("usage.pictures")} />
      <Figure value={seconds(sum("device_seconds"))} name={t("usage.device")} />
    </>
  );
}

function Figure({ value, name }: { value: string; name: string }) {
  return (
    <section className="panel" aria-label={name}>
      <p className="figure">{value}</p>
      <p className="muted">{name}</p>
    </section>
  );
}

function Report({ rows, days }: { rows: UsedRow[]; days: number }) {
  const { t, number, seconds, amount } = useText();
  const currencies = [...new Set(rows.map((row) => row.currency))];
  const [by, setBy] = useState<By>("model");
  const [measure, setMeasure] = useState<Measure>("requests");
  const [chosen, setCurrency] = useState("");
  const currency = currencies.includes(chosen) ? chosen : currencies[0]!;
  const shown = measure === "cost" ? rows.filter((row) => row.currency === currency) : rows;
  const dates = lastDays(days);
  const show = (value: number) => (measure === "cost" ? amount(value, currency) : measure === "requests" ? number(value, 0) : seconds(value));
  return (
    <section className="panel" aria-labelledby="usage-report">
      <div className="report-head">
        <h2 id="usage-report">{t(`usage.measure.${measure}`)}</h2>
        <Segmented
          label={t("usage.measure")}
          value={measure}
          onChange={setMeasure}
          options={(["cost", "requests", "device_seconds"] as const).map((value) => ({ value, text: t(`usage.measure.${value}`) }))}
        />
        <Segmented
          label={t("usage.by")}
          value={by}
          onChange={setBy}
          options={(["model", "key"] as const).map((value) => ({ value, text: t(`usage.by.${value}`) }))}
        />
        {measure === "cost" && currencies.length > 1 && (
          <Select label={t("usage.currency")} value={currency} onChange={setCurrency} options={currencies.map((value) => ({ value, text: value }))} />
        )}
      </div>
      <Columns days={dates} series={seriesOf(shown, dates, by, measure, t("usage.others"))} show={show} label={t(`usage.chart.${by}`, { what: t(`usage.measure.${measure}`), n: days })} />
      <Table rows={rows} by={by} />
    </section>
  );
}

// A line for each model or key, price and currency: amounts of different money are never added up.
function Table({ rows, by }: { rows: UsedRow[]; by: By }) {
  const { t, number, seconds, money, known } = useText();
  const lines = new Map<string, UsedRow & { name: string }>();
  for (const row of rows) {
    const name = nameOf(row, by);
    const line = lines.get(`${name} ${row.unit} ${row.currency}`);
    if (!line) lines.set(`${name} ${row.unit} ${row.currency}`, { ...row, name });
    else for (const field of ["requests", "quantity", "device_seconds", "cost"] as const) line[field] += row[field];
  }
  const sorted = [...lines.entries()].sort(([, one], [, other]) => other.cost - one.cost || other.device_seconds - one.device_seconds);
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={t("usage.table")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t(`usage.by.${by}`)}</th>
            <th scope="col" className="right">{t("usage.requests")}</th>
            <th scope="col" className="right">{t("usage.quantity")}</th>
            <th scope="col" className="right">{t("usage.device")}</th>
            <th scope="col" className="right">{t("usage.cost")}</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map(([key, line]) => (
            <tr key={key}>
              <th scope="row" className={by === "model" ? "id" : undefined}>{line.name}</th>
              <td className="right">{number(line.requests, 0)}</td>
              <td className="right">
                {number(line.quantity, 2)} {known(`units.${line.unit}`, line.unit)}
              </td>
              <td className="right">{seconds(line.device_seconds)}</td>
              <td className="right">{money(line.cost, line.currency)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
