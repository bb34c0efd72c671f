// One picture at large, with all that is known of how it was made.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";

import { Fact, Facts, IconButton, useCopy } from "../parts/controls";
import { Dialog } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { copyPicture, download, isTiny } from "../parts/pictures";
import { useReason } from "../parts/states";
import { toast } from "../parts/toast";
import { get, send } from "../talk/http";
import { useSession } from "../talk/session";
import type { OneRequest, Picture } from "../talk/types";
import { useText } from "../text/text";
import { useTarget } from "../models/catalogue";
import { mark } from "../models/share";

interface DetailsProps {
  pictures: Picture[];
  at: number;
  onMove: (at: number) => void;
  onClose: () => void;
  onDeleted: () => void;
}

export default function Details({ pictures, at, onMove, onClose, onDeleted }: DetailsProps) {
  const { t } = useText();
  const picture = pictures[at]!;
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key === "ArrowLeft" && at > 0) onMove(at - 1);
      if (event.key === "ArrowRight" && at < pictures.length - 1) onMove(at + 1);
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, [at, pictures.length, onMove]);
  const prompt = picture.asked?.prompt ?? picture.file_name;
  return (
    <Dialog label={prompt} onClose={onClose} wide>
      <div className="details">
        <div className="details-picture">
          <img src={picture.shown_url} alt={prompt} className={isTiny(picture.width) ? "tiny" : undefined} />
          <IconButton icon="left" label={t("gallery.previous")} onClick={() => onMove(at - 1)} disabled={at === 0} className="previous" />
          <IconButton icon="right" label={t("gallery.next")} onClick={() => onMove(at + 1)} disabled={at >= pictures.length - 1} className="next" />
        </div>
        <div className="details-text">
          <h2>{prompt}</h2>
          <Tools picture={picture} onLeave={onClose} />
          <Metadata picture={picture} />
          <Deleting picture={picture} count={picture.asked?.count ?? 1} onDeleted={onDeleted} key={picture.key} />
        </div>
      </div>
    </Dialog>
  );
}

function Tools({ picture, onLeave }: { picture: Picture; onLeave: () => void }) {
  const { t } = useText();
  const copy = useCopy();
  const [, go] = useLocation();
  const target = useTarget();
  const use = () => (onLeave(), go(`/models/${target}${mark({ image_url: picture.url })}`));
  const reuse = async () => {
    const { input } = await get<OneRequest>(`api/page/requests/${picture.request_id}`);
    onLeave();
    go(`/models/${picture.endpoint_id}${mark({ ...input, seed: picture.seed })}`);
  };
  return (
    <div className="buttons">
      <button type="button" className="button" onClick={() => void download(picture.shown_url, picture.file_name)}>
        <Icon name="download" /> {t("common.download")}
      </button>
      <IconButton
        icon="copy"
        label={t("play.copyPicture")}
        onClick={() => void copyPicture(picture.shown_url).then(() => toast(t("common.copied")), () => toast(t("common.failed")))}
      />
      <IconButton icon="link" label={t("play.link")} onClick={() => copy(picture.url)} />
      {target && <IconButton icon="image" label={t("play.useAsInput")} onClick={use} />}
      <button type="button" className="button" onClick={() => void reuse().catch(() => toast(t("common.failed")))}>
        <Icon name="again" /> {t("gallery.reuse")}
      </button>
    </div>
  );
}

function Metadata({ picture }: { picture: Picture }) {
  const { t, number, seconds, time, bytes } = useText();
  const { asked } = picture;
  const guidance = asked && (asked.guidance ?? asked.cfg_scale);
  return (
    <Facts>
      <Fact name={t("meta.model")}>
        <Link href={`/models/${picture.endpoint_id}`}>{picture.endpoint_id}</Link> · {t("meta.revision")} {picture.model_revision.slice(0, 12)}
      </Fact>
      <Fact name={t("meta.seed")}>{picture.seed}</Fact>
      <Fact name={t("meta.size")}>
        {picture.width} × {picture.height}
      </Fact>
      {asked && <Fact name={t("meta.steps")}>{asked.steps}</Fact>}
      {guidance != null && <Fact name={t("meta.guidance")}>{number(guidance)}</Fact>}
      {asked && <Fact name={t("meta.sampler")}>{asked.sampler}</Fact>}
      {asked?.acceleration && asked.acceleration !== "none" && <Fact name={t("meta.acceleration")}>{asked.acceleration}</Fact>}
      {asked?.negative_prompt && <Fact name={t("meta.negative")}>{asked.negative_prompt}</Fact>}
      {asked?.loras && asked.loras.length > 0 && (
        <Fact name={t("meta.loras")}>{asked.loras.map((one) => `${one.path} × ${number(one.scale, 2)}`).join(", ")}</Fact>
      )}
      {picture.inference_seconds !== null && <Fact name={t("meta.took")}>{seconds(picture.inference_seconds)}</Fact>}
      <Fact name={t("meta.made")}>{time(picture.created_at)}</Fact>
      {picture.expires_at && <Fact name={t("meta.expires")}>{time(picture.expires_at)}</Fact>}
      <Fact name={t("meta.file")}>
        {picture.content_type}, {bytes(picture.size_bytes)}
      </Fact>
      {picture.sha256 && (
        <Fact name={t("meta.digest")}>
          <code className="digest">{picture.sha256}</code>
        </Fact>
      )}
      <Fact name={t("meta.request")}>
        <Link href={`/requests/${picture.request_id}`}>
          <code>{picture.request_id}</code>
        </Link>
      </Fact>
    </Facts>
  );
}

function Deleting({ picture, count, onDeleted }: { picture: Picture; count: number; onDeleted: () => void }) {
  const { t } = useText();
  const { who } = useSession();
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const reason = useReason(error);
  const remove = async () => {
    try {
      await send(`platform/v1/models/requests/${picture.request_id}/payloads`, { method: "DELETE" });
      toast(t("gallery.deleted"));
      void queries.invalidateQueries({ queryKey: ["pictures"] });
      onDeleted();
    } catch (problem) {
      setError(problem);
    }
  };
  if (!who?.scopes.includes("ADMIN")) return <p className="muted small">{t("gallery.needsAdmin")}</p>;
  if (!asking) {
    return (
      <button type="button" className="button danger" onClick={() => setAsking(true)}>
        <Icon name="trash" /> {t("common.delete")}
      </button>
    );
  }
  return (
    <div className="confirm" role="alertdialog" aria-label={t("common.delete")}>
      <p>{t("gallery.deleteAsk", { n: count })}</p>
      {error != null && <p className="problem">{reason}</p>}
      <div className="buttons">
        <button type="button" className="button" autoFocus onClick={() => setAsking(false)}>
          {t("common.cancel")}
        </button>
        <button type="button" className="button danger solid" onClick={() => void remove()}>
          {t("common.delete")}
        </button>
      </div>
    </div>
  );
}
