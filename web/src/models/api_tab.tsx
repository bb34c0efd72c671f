// The call that the form stands for, and what its fields mean.

import type { Field, Values } from "../form/schema";
import { address } from "../talk/http";
import { useText } from "../text/text";
import { openApiPath } from "./catalogue";
import { Snippets } from "./snippet_box";

export function ApiTab({ id, fields, input }: { id: string; fields: Field[]; input: Values }) {
  const { t } = useText();
  const example = fields.find((field) => field.name === "prompt")?.schema.examples?.[0];
  return (
    <div className="api">
      <p className="muted">{t("api.lead")}</p>
      <Snippets id={id} input={input.prompt || !example ? input : { ...input, prompt: example }} />
      <h2 className="section-head">{t("api.input")}</h2>
      <div className="scroll" tabIndex={0} role="region" aria-label={t("api.input")}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("api.field")}</th>
              <th scope="col">{t("api.type")}</th>
              <th scope="col">{t("api.default")}</th>
              <th scope="col">{t("api.about")}</th>
            </tr>
          </thead>
          <tbody lang="en">
            {fields.map((field) => (
              <tr key={field.name}>
                <th scope="row">
                  <code>{field.name}</code>
                </th>
                <td>{typeText(field)}</td>
                <td>{field.schema.default === undefined ? "" : <code>{JSON.stringify(field.schema.default)}</code>}</td>
                <td>{field.schema.description}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p>
        <a href={address(openApiPath(id))} target="_blank" rel="noreferrer">
          {t("api.docs")}
        </a>{" "}
        ·{" "}
        <a href={address(`models/${id}/llms.txt`)} target="_blank" rel="noreferrer">
          {t("api.llms")}
        </a>
      </p>
    </div>
  );
}

function typeText({ schema, kind, presets, sides }: Field): string {
  if (kind === "size") return [...presets, sides && `{width, height}: ${sides.low}–${sides.high}`].filter(Boolean).join(", ") || "{width, height}";
  if (schema.enum) return schema.enum.join(", ");
  const range = schema.minimum !== undefined && schema.maximum !== undefined && schema.maximum < 1e9 ? ` ${schema.minimum}–${schema.maximum}` : "";
  return `${schema.type ?? "any"}${range}`;
}
