// Where pictures appear: an invitation before, the sharpening preview while it runs, the results after.

import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";

import { IconButton, useCopy } from "../parts/controls";
import { Icon } from "../parts/icons";
import { copyPicture, download, isTiny } from "../parts/pictures";
import { Empty, useReason } from "../parts/states";
import { toast } from "../parts/toast";
import { useText } from "../text/text";
import type { Field } from "../form/schema";
import { examples, useTarget } from "./catalogue";
import { isOver, type Output, type Run } from "./runs";
import { mark, shareLink } from "./share";

const SOFTEST = 14; // pixels of blur before the first step

interface StageProps {
  id: string; // of the endpoint
  run: Run | undefined;
  fields: Field[];
  onAgain: (() => void) | null; // absent where there is no seed
  onExample: (prompt: string) => void;
  onUse: (name: string, url: string) => void; // puts a picture into a field of the form
}

export function Stage(props: StageProps) {
  const { t } = useText();
  const { run } = props;
  return (
    <section className="stage panel" aria-label={t("play.result")}>
      <Said run={run} />
      {!run && <Invitation id={props.id} onExample={props.onExample} />}
      {run && !isOver(run) && <Running run={run} />}
      {run?.phase === "done" && <Results {...props} run={run} />}
      {run?.phase === "cancelled" && <Empty icon="close" title={t("play.cancelled")} />}
      {run?.phase === "failed" && <Failed run={run} />}
    </section>
  );
}

// What a screen reader hears of it: phases, not every step.
function Said({ run }: { run: Run | undefined }) {
  const { t } = useText();
  const texts = { sending: "play.sending", queued: "play.queued", running: "play.stage.denoise", cancelled: "play.cancelled", failed: "play.failed" } as const;
  const text = !run ? "" : run.phase === "done" ? t("common.pictures", { n: run.outputs.length }) : t(texts[run.phase]);
  return (
    <p className="hidden" role="status">
      {text}
    </p>
  );
}

function Invitation({ id, onExample }: { id: string; onExample: (prompt: string) => void }) {
  const { t } = useText();
  const shown = examples(id).slice(0, 6);
  return (
    <Empty icon="image" title={t("play.empty")}>
      <p>{t("play.emptyHint")}</p>
      {shown.length > 0 && (
        <ul className="tries">
          {shown.map(({ url, prompt }) => (
            <li key={url}>
              <button type="button" onClick={() => onExample(prompt)} aria-label={`${t("play.try")}: ${prompt}`} title={prompt}>
                <img src={url} alt="" className="tiny" />
              </button>
            </li>
          ))}
        </ul>
      )}
    </Empty>
  );
}

function Running({ run }: { run: Run }) {
  const { t, known, seconds } = useText();
  const left = useLeft(run);
  const count = Number(run.input.num_images ?? 1);
  const part = run.steps ? run.step / run.steps : 0;
  const isWaiting = run.phase !== "running" && !run.stage;
  const what = run.phase === "sending" ? t("play.sending") : isWaiting ? t("play.queued") : known(`play.stage.${run.stage}`, t("play.stage.denoise"));
  const facts = [
    isWaiting && run.phase === "queued" && (run.position ? t("play.ahead", { n: run.position }) : t("play.next")),
    !isWaiting && run.steps > 0 && t("play.step", { step: run.step, steps: run.steps }),
    left !== null && t("play.left", { time: seconds(left) }),
    !isWaiting && run.batch > count && t("play.shared", { n: run.batch - count }),
  ];
  return (
    <div className="running">
      <div className={`results n${Math.min(count, 4)}`}>
        {Array.from({ length: count }, (_, at) => (
          <div key={at} className="picture waiting">
            {run.previews[at] && (
              <img
                src={run.previews[at]}
                alt={t("play.preview", { step: run.step })}
                className="preview"
                style={{ filter: `blur(${(SOFTEST * (1 - part)).toFixed(1)}px)` }}
              />
            )}
          </div>
        ))}
      </div>
      <div className="running-foot">
        <p>
          <span className="spinner" aria-hidden="true" /> <strong>{what}</strong>
          <span className="muted">{facts.filter(Boolean).map((fact) => ` · ${fact}`)}</span>
        </p>
        <Steps done={run.step} of={run.steps} />
      </div>
    </div>
  );
}

// A tick for each step.
function Steps({ done, of }: { done: number; of: number }) {
  const { t } = useText();
  return (
    <div className="steps" role="progressbar" aria-label={t("field.num_inference_steps")} aria-valuemin={0} aria-valuemax={of || 1} aria-valuenow={done}>
      {Array.from({ length: of || 1 }, (_, at) => (
        <span key={at} className={at < done ? "done" : at === done && of ? "now" : undefined} />
      ))}
    </div>
  );
}

// Seconds that are left, counting down between two words of the server.
function useLeft(run: Run): number | null {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 250);
    return () => clearInterval(timer);
  }, []);
  return run.eta ? Math.max(0, run.eta.seconds - (Date.now() - run.etaAt) / 1000) : null;
}

function Results({ id, run, fields, onAgain, onUse }: StageProps & { run: Run }) {
  const { t, seconds, money } = useText();
  const copy = useCopy();
  const prompt = String(run.input.prompt ?? "");
  return (
    <>
      <div className={`results n${Math.min(run.outputs.length, 4)}`}>
        {run.outputs.map((output, at) => (
          <Result key={output.url} output={output} label={t("play.picture", { n: at + 1, prompt })} fields={fields} onUse={onUse} />
        ))}
      </div>
      <div className="result-foot">
        <p className="muted">
          {run.seconds !== null && t("play.done", { time: seconds(run.seconds) })}
          {run.price && ` · ${money(run.price.amount, run.price.currency)}`}
          {run.seed !== null && ` · ${t("meta.seed")} ${run.seed}`}
          {" · "}
          <Link href={`/requests/${run.id}`}>{t("play.openRequest")}</Link>
        </p>
        <div className="buttons">
          {onAgain && (
            <button type="button" className="button" onClick={onAgain}>
              <Icon name="dice" /> {t("play.newSeed")}
            </button>
          )}
          <button
            type="button"
            className="button"
            onClick={() => copy(shareLink(id, run.seed === null ? run.input : { ...run.input, seed: run.seed }))}
          >
            <Icon name="link" /> {t("play.share")}
          </button>
        </div>
      </div>
    </>
  );
}

function Result(props: { output: Output; label: string; fields: Field[]; onUse: (name: string, url: string) => void }) {
  const { t } = useText();
  const copy = useCopy();
  const { output, label } = props;
  const name = output.file_name ?? "picture";
  const image = props.fields.find((field) => field.kind === "image");
  const target = useTarget();
  const [, go] = useLocation();
  const use = () => (image ? props.onUse(image.name, output.url) : go(`/models/${target}${mark({ image_url: output.url })}`));
  const take = async (work: Promise<void>, done: string) => {
    await work.then(() => toast(done), () => toast(t("common.failed")));
  };
  return (
    <figure className="picture">
      <img src={output.url} alt={label} className={isTiny(output.width) ? "tiny" : undefined} />
      <figcaption className="picture-tools">
        <IconButton icon="download" label={t("common.download")} onClick={() => void download(output.url, name)} />
        <IconButton icon="copy" label={t("play.copyPicture")} onClick={() => void take(copyPicture(output.url), t("common.copied"))} />
        {!output.url.startsWith("data:") && <IconButton icon="link" label={t("play.link")} onClick={() => copy(output.url)} />}
        {(image ?? target) && <IconButton icon="image" label={t("play.useAsInput")} onClick={use} />}
      </figcaption>
    </figure>
  );
}

function Failed({ run }: { run: Run }) {
  const { t } = useText();
  const reason = useReason(run.error);
  return (
    <div className="failure" role="alert">
      <p>
        <strong>{t("play.failed")}</strong> {reason}
      </p>
      {run.id && <Link href={`/requests/${run.id}`}>{t("play.openRequest")}</Link>}
    </div>
  );
}
