// One call in the words of whichever client the reader has, to copy.

import { useState } from "react";

import { Code } from "../parts/code";
import { Segmented } from "../parts/controls";
import type { Values } from "../form/schema";
import { useText } from "../text/text";
import { snippets, type Client } from "./snippets";

export function Snippets({ id, input }: { id: string; input: Values }) {
  const { t } = useText();
  const [client, setClient] = useState<Client>("python");
  const made = snippets(id, input);
  const shown = made[client];
  return (
    <>
      <Segmented
        label={t("api.language")}
        value={client}
        onChange={setClient}
        options={(Object.keys(made) as Client[]).map((one) => ({ value: one, text: made[one].name }))}
      />
      <Code text={shown.code} label={shown.name} snippet={client} />
      <p className="muted">{shown.file ? t("api.file", { file: shown.file }) : t("api.shell")}:</p>
      <Code text={shown.run} label={t("api.shell")} />
    </>
  );
}
