// How programs use this server: from the first call to every model's reference.

import { type ReactNode } from "react";
import { Link } from "wouter";

import { Code } from "../parts/code";
import { Failure, Loading } from "../parts/states";
import { examples, openApiPath, useModels } from "../models/catalogue";
import { Snippets } from "../models/snippet_box";
import { address } from "../talk/http";
import type { Model } from "../talk/types";
import { useText } from "../text/text";
import { Calls } from "./calls";
import { elsewhere } from "./elsewhere";

export default function Docs() {
  const { t } = useText();
  const models = useModels();
  const first = models.data?.find((model) => examples(model.endpoint_id).length > 0) ?? models.data?.[0];
  return (
    <>
      <div className="page-head">
        <h1>{t("docs.title")}</h1>
        <p className="muted">{t("docs.lead")}</p>
      </div>
      <div className="docs">
        <Part title={t("docs.reach")}>
          <p>{t("docs.here")}</p>
          <Code text={'eval "$(laterna env)"'} label={t("docs.here")} />
          <p>{t("docs.elsewhere")}</p>
          <Code text={elsewhere()} label={t("docs.elsewhere")} />
          <p className="muted">{t("docs.tls")}</p>
        </Part>
        <Part title={t("docs.first")}>
          {models.isError && <Failure error={models.error} retry={() => void models.refetch()} />}
          {models.isPending && <Loading />}
          {first && <Snippets id={first.endpoint_id} input={{ prompt: "a red fox on a teal background" }} />}
        </Part>
        <Part title={t("docs.calls")}>
          <Calls id={first?.endpoint_id ?? "OWNER/NAME"} />
        </Part>
        <Part title={t("docs.models")}>{models.data && <Reference models={models.data} />}</Part>
        <Part title={t("docs.assistants")}>
          <p>{t("docs.assistantsText")}</p>
          <Code text={address("llms.txt")} label="llms.txt" />
        </Part>
      </div>
    </>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="panel">
      <h2 className="section-head">{title}</h2>
      <div className="form">{children}</div>
    </section>
  );
}

function Reference({ models }: { models: Model[] }) {
  const { t, known } = useText();
  const out = (href: string, text: string, name: string) => (
    <a href={address(href)} target="_blank" rel="noreferrer" aria-label={`${text}: ${name}`}>
      {text}
    </a>
  );
  return (
    <table className="stacked">
      <thead>
        <tr>
          <th scope="col">{t("meta.model")}</th>
          <th scope="col">{t("models.kind")}</th>
          <th scope="col">{t("docs.texts")}</th>
        </tr>
      </thead>
      <tbody>
        {models.map(({ endpoint_id: id, metadata }) => (
          <tr key={id}>
            <th scope="row">
              <Link href={`/models/${id}/api`}>{metadata.display_name}</Link> <span className="id">{id}</span>
            </th>
            <td>{known(`category.${metadata.category}`, metadata.category)}</td>
            <td>
              {out(openApiPath(id), "OpenAPI", id)} · {out(`models/${id}/llms.txt`, "llms.txt", id)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
