// Two pictures over each other, with a divide to move between them.

import { useState } from "react";

import { Dialog } from "../parts/dialog";
import { isTiny } from "../parts/pictures";
import type { Picture } from "../talk/types";
import { useText } from "../text/text";

export function Compare({ one, other, onClose }: { one: Picture; other: Picture; onClose: () => void }) {
  const { t } = useText();
  const [at, setAt] = useState(50); // percent
  return (
    <Dialog label={t("gallery.compare")} onClose={onClose} wide>
      <h2>{t("gallery.compare")}</h2>
      <div className="compare">
        <img src={one.shown_url} alt={one.asked?.prompt ?? one.file_name} className={isTiny(one.width) ? "tiny" : undefined} />
        <img
          src={other.shown_url}
          alt={other.asked?.prompt ?? other.file_name}
          className={isTiny(other.width) ? "tiny" : undefined}
          style={{ clipPath: `inset(0 0 0 ${at}%)` }}
        />
        <span className="divide" style={{ left: `${at}%` }} aria-hidden="true" />
        <input type="range" min={0} max={100} step={0.5} value={at} aria-label={t("gallery.divide")} onChange={(event) => setAt(Number(event.target.value))} />
      </div>
      <div className="compare-text">
        <About picture={one} />
        <About picture={other} />
      </div>
    </Dialog>
  );
}

function About({ picture }: { picture: Picture }) {
  const { t } = useText();
  return (
    <p>
      <strong>{picture.asked?.prompt ?? picture.file_name}</strong>
      <br />
      <span className="muted">
        {picture.endpoint_id} · {t("meta.seed")} {picture.seed}
        {picture.asked && ` · ${t("meta.steps")} ${picture.asked.steps}`}
      </span>
    </p>
  );
}
