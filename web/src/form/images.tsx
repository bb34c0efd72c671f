// Pictures that a model starts from: dropped, pasted or chosen, and stored by this server.

import { useEffect, useRef, useState, type DragEvent } from "react";

import { IconButton } from "../parts/controls";
import { Icon } from "../parts/icons";
import { useReason } from "../parts/states";
import { upload } from "../talk/uploads";
import { useText } from "../text/text";
import type { FieldProps } from "./form";

export function ImageField({ value, onChange, labelledBy }: FieldProps) {
  return <Drop value={value} onChange={onChange} labelledBy={labelledBy} />;
}

export function ImagesField({ field, value, onChange, labelledBy }: FieldProps) {
  const urls: string[] = value ?? [];
  const most = field.schema.maxItems ?? 10;
  return (
    <div className="drops">
      {urls.map((url, at) => (
        <Drop key={url} value={url} labelledBy={labelledBy} onChange={() => onChange(urls.filter((_, n) => n !== at))} />
      ))}
      {urls.length < most && <Drop value={undefined} labelledBy={labelledBy} onChange={(url) => onChange([...urls, url])} />}
    </div>
  );
}

function Drop(props: { value: string | undefined; onChange: (url: string | undefined) => void; labelledBy: string }) {
  const { t } = useText();
  const [busy, setBusy] = useState(false);
  const [over, setOver] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const reason = useReason(error);
  const take = async (file: File | undefined) => {
    if (!file) return;
    setBusy(true);
    setError(null);
    try {
      props.onChange(await upload(file));
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  usePasted(props.value ? null : take);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const link = event.dataTransfer.getData("text/uri-list");
    if (event.dataTransfer.files.length > 0) void take(event.dataTransfer.files[0]);
    else if (/^https?:/.test(link)) props.onChange(link.split("\n")[0]!.trim()); // a picture dragged from a page
  };
  if (props.value) {
    return (
      <div className="dropped">
        <img src={props.value} alt="" />
        <IconButton icon="close" label={t("form.remove")} onClick={() => props.onChange(undefined)} />
      </div>
    );
  }
  return (
    <>
      <label
        className={over ? "drop over" : "drop"}
        onDragOver={(event) => (event.preventDefault(), setOver(true))}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <input
          type="file"
          accept="image/*"
          className="hidden"
          aria-labelledby={props.labelledBy}
          onChange={(event) => void take(event.target.files?.[0])}
        />
        <Icon name="image" />
        <span>{t(busy ? "form.uploading" : "form.drop")}</span>
      </label>
      {error != null && (
        <p className="problem" role="alert">
          {reason}
        </p>
      )}
    </>
  );
}

// A picture that is pasted anywhere in the view goes into the first field that is free.
function usePasted(take: ((file: File) => Promise<void>) | null): void {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const pasted = (event: ClipboardEvent) => {
      const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
      if (!file || !latest.current || event.defaultPrevented) return;
      event.preventDefault();
      void latest.current(file);
    };
    document.addEventListener("paste", pasted);
    return () => document.removeEventListener("paste", pasted);
  }, []);
}
