// Where a request stands that is not over: its place, its step, and when it will be done.

import type { Listed } from "../talk/types";
import { useText } from "../text/text";

export function Standing({ one }: { one: Listed }) {
  const { t, known, seconds } = useText();
  const { progress } = one;
  const facts = [
    one.cancelling && t("play.cancelling"),
    one.position && t("requests.position", { n: one.position }),
    progress && known(`play.stage.${progress.stage}`, progress.stage),
    progress && progress.steps > 0 && t("play.step", { step: progress.step, steps: progress.steps }),
    one.eta && t("play.left", { time: seconds(one.eta.seconds) }),
  ].filter(Boolean);
  return (
    <span className="standing">
      {progress && progress.steps > 0 && (
        <progress max={progress.steps} value={progress.step} aria-label={t("play.step", { step: progress.step, steps: progress.steps })} />
      )}
      <span className="muted small">{facts.join(" · ")}</span>
    </span>
  );
}
