// LoRAs: where each is, how strongly it acts, or a file of the user's.

import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";

import { IconButton, Select } from "../parts/controls";
import { Icon } from "../parts/icons";
import { useReason } from "../parts/states";
import { get } from "../talk/http";
import { upload } from "../talk/uploads";
import { useText } from "../text/text";
import type { FieldProps } from "./form";

interface Lora {
  path: string;
  scale: number;
}

export function LorasField({ field, value, onChange }: FieldProps) {
  const { t } = useText();
  const list = useId();
  const known = useQuery({ queryKey: ["loras"], queryFn: async ({ signal }) => (await get<{ loras: string[] }>("api/page/loras", signal)).loras });
  const [error, setError] = useState<unknown>(null);
  const reason = useReason(error);
  const loras: Lora[] = value ?? [];
  const most = field.schema.items?.properties?.scale?.maximum ?? 4;
  const set = (at: number, change: Partial<Lora>) => onChange(loras.map((one, n) => (n === at ? { ...one, ...change } : one)));
  const send = async (file: File | undefined) => {
    if (!file) return;
    try {
      onChange([...loras, { path: await upload(file), scale: 1 }]);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <div className="loras">
      <datalist id={list}>
        {known.data?.map((path) => (
          <option key={path} value={path} />
        ))}
      </datalist>
      {loras.map((lora, at) => (
        <div key={at} className="lora">
          <input
            type="text"
            value={lora.path}
            list={list}
            placeholder={t("form.lora.path")}
            aria-label={`${t("form.lora.path")} ${at + 1}`}
            onChange={(event) => set(at, { path: event.target.value })}
          />
          <IconButton icon="close" label={t("form.remove")} onClick={() => onChange(loras.filter((_, n) => n !== at))} />
          <input
            type="range"
            min={0}
            max={most}
            step={0.05}
            value={lora.scale}
            aria-label={`${t("form.lora.scale")} ${at + 1}`}
            onChange={(event) => set(at, { scale: Number(event.target.value) })}
          />
          <output>{lora.scale.toFixed(2)}</output>
        </div>
      ))}
      {loras.length < (field.schema.maxItems ?? 8) && (
        <div className="buttons">
          {known.data?.some((path) => !loras.some((one) => one.path === path)) && (
            <Select
              label={t("form.lora.pick")}
              value=""
              onChange={(path) => onChange([...loras, { path, scale: 1 }])}
              options={[{ value: "", text: t("form.lora.pick") }, ...known.data.filter((path) => !loras.some((one) => one.path === path)).map((path) => ({ value: path, text: shortened(path) }))]}
            />
          )}
          <button type="button" className="button small" onClick={() => onChange([...loras, { path: "", scale: 1 }])}>
            <Icon name="plus" /> {t("form.add")}
          </button>
          <label className="button small">
            <input type="file" accept=".safetensors" className="hidden" onChange={(event) => void send(event.target.files?.[0])} />
            {t("form.lora.file")}
          </label>
        </div>
      )}
      {error != null && (
        <p className="problem" role="alert">
          {reason}
        </p>
      )}
    </div>
  );
}

// Its own name, without where it lies.
function shortened(path: string): string {
  return path.startsWith("http") ? path.split("/").at(-1)! : path;
}
