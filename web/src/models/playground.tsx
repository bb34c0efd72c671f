// One model: its form, what comes of it, and the same call for programs.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";

import { Form, rolled } from "../form/form";
import { fieldsOf, initial, inputOf, type Field, type Values } from "../form/schema";
import { Failure, Loading } from "../parts/states";
import { useSettled } from "../parts/settled";
import { ApiError, post, type Problem } from "../talk/http";
import type { Estimate, Model } from "../talk/types";
import { useText } from "../text/text";
import { ApiTab } from "./api_tab";
import { useModels, useOpenApi } from "./catalogue";
import { Recent } from "./recent";
import { cancel, find, isOver, start, useRun } from "./runs";
import { shared } from "./share";
import { Stage } from "./stage";

export default function Playground({ id, tab }: { id: string; tab: "play" | "api" }) {
  const models = useModels();
  const document = useOpenApi(id);
  const model = models.data?.find((one) => one.endpoint_id === id);
  const fields = useMemo(() => (document.data ? fieldsOf(document.data) : null), [document.data]);
  const failed = document.error ?? models.error;
  if (failed) return <Failure error={failed} retry={() => void (document.refetch(), models.refetch())} />;
  if (!fields || !model) return <Loading />;
  return <Ready id={id} tab={tab} model={model} fields={fields} />;
}

function Ready({ id, tab, model, fields }: { id: string; tab: "play" | "api"; model: Model; fields: Field[] }) {
  const { t, known } = useText();
  const [values, setValues] = useForm(id, fields);
  const input = inputOf(fields, values);
  return (
    <>
      <div className="page-head model-head">
        <div>
          <h1>{model.metadata.display_name}</h1>
          <p className="muted">{model.metadata.description}</p>
          <ul className="tags">
            <li className="id">{id}</li>
            <li>{known(`category.${model.metadata.category}`, model.metadata.category)}</li>
            <li>
              <Licence model={model} />
            </li>
          </ul>
        </div>
        <nav className="tabs" aria-label={model.metadata.display_name}>
          <Link href={`/models/${id}`} aria-current={tab === "play" ? "page" : undefined}>
            {t("play.tab")}
          </Link>
          <Link href={`/models/${id}/api`} aria-current={tab === "api" ? "page" : undefined}>
            {t("play.api")}
          </Link>
        </nav>
      </div>
      {tab === "api" ? (
        <ApiTab id={id} fields={fields} input={input} />
      ) : (
        <Play id={id} fields={fields} values={values} input={input} setValues={setValues} />
      )}
    </>
  );
}

function Licence({ model }: { model: Model }) {
  const { t } = useText();
  const { license, license_url } = model.metadata;
  const text = t("play.licence", { licence: license });
  return license_url ? (
    <a href={license_url} target="_blank" rel="noreferrer">
      {text}
    </a>
  ) : (
    text
  );
}

const MOVES = ["pushState", "popstate", "hashchange"]; // the first is the router's own

// What the form says: from the address it was opened by, else as it was left in this tab.
function useForm(id: string, fields: Field[]): [Values, (values: Values) => void] {
  const stored = `laterna.form.${id}`;
  const read = () => {
    const said = shared() ?? (JSON.parse(sessionStorage.getItem(stored) ?? "{}") as Values);
    if (location.hash) history.replaceState(history.state, "", location.pathname);
    const names = new Set(fields.map((field) => field.name));
    return { ...initial(fields), ...Object.fromEntries(Object.entries(said).filter(([name]) => names.has(name))) };
  };
  const [values, set] = useState<Values>(read);
  useEffect(() => {
    const moved = () => location.hash && set(read());
    for (const event of MOVES) window.addEventListener(event, moved);
    return () => MOVES.forEach((event) => window.removeEventListener(event, moved));
  });
  return [
    values,
    (changed) => {
      sessionStorage.setItem(stored, JSON.stringify(inputOf(fields, changed)));
      set(changed);
    },
  ];
}

interface PlayProps {
  id: string;
  fields: Field[];
  values: Values;
  input: Values;
  setValues: (values: Values) => void;
}

function Play({ id, fields, values, input, setValues }: PlayProps) {
  const { t } = useText();
  const run = useRun(id);
  const [problems, setProblems] = useState<Problem[]>([]);
  useEffect(() => find(id), [id]);
  const stage = useRef<HTMLDivElement>(null);
  const busy = run !== undefined && !isOver(run);
  const complete = fields.every(({ name, required }) => !required || (values[name] ?? "") !== "");
  const generate = async (sent: Values) => {
    setProblems([]);
    try {
      const begun = start(id, sent);
      if (stage.current!.getBoundingClientRect().top > window.innerHeight / 2) stage.current!.scrollIntoView({ block: "start" }); // on a phone it lies below
      await begun;
    } catch (error) {
      if (error instanceof ApiError) setProblems(error.problems);
    }
  };
  const again = () => {
    const changed = { ...values, seed: rolled() };
    setValues(changed);
    void generate(inputOf(fields, changed));
  };
  return (
    <div className="playground">
      <form
        className="panel"
        aria-label={t("play.form")}
        onSubmit={(event) => (event.preventDefault(), void generate(input))}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && complete && !busy) void generate(input);
        }}
      >
        <Form fields={fields} values={values} problems={problems} onChange={setValues} />
        <div className="form-foot">
          <EstimateLine id={id} input={input} complete={complete} />
          <div className="buttons">
            <button type="button" className="button" onClick={() => (setValues(initial(fields)), setProblems([]))}>
              {t("play.reset")}
            </button>
            {busy ? (
              <button type="button" className="button danger large" onClick={() => void cancel(id)} disabled={!run.id || run.cancelling}>
                {t(run.cancelling ? "play.cancelling" : "common.cancel")}
              </button>
            ) : (
              <button className="button primary large" disabled={!complete}>
                {t("play.generate")}
              </button>
            )}
          </div>
        </div>
      </form>
      <div className="stage-column" ref={stage}>
        <Stage id={id} run={run} fields={fields} onAgain={fields.some((one) => one.kind === "seed") ? again : null}
          onExample={(prompt) => setValues({ ...values, prompt })}
          onUse={(name, url) => setValues({ ...values, [name]: url })}
        />
        <Recent id={id} key={run?.phase === "done" ? run.id : "before"} />
      </div>
    </div>
  );
}

// What it would take and cost, asked for once the form rests.
function EstimateLine({ id, input, complete }: { id: string; input: Values; complete: boolean }) {
  const { t, seconds, money } = useText();
  const said = useSettled(JSON.stringify({ ...input, prompt: input.prompt || "x" }));
  const { data } = useQuery({
    queryKey: ["estimate", id, said],
    queryFn: ({ signal }) => post<Estimate>(`api/page/estimate/${id}`, JSON.parse(said), signal),
    placeholderData: (before) => before,
    retry: false,
    enabled: complete || !input.prompt,
  });
  if (!data) return <p className="estimate" />;
  const time = data.eta ? t("common.about", { time: seconds(data.eta.seconds) }) : t("models.neverRan");
  return <p className="estimate">{t("play.estimate", { time, price: money(data.price.amount, data.price.currency) })}</p>;
}
