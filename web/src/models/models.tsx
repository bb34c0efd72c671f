// The catalogue: every model with what it paints, how fast it is here, and what it costs.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { Search, Segmented } from "../parts/controls";
import { Icon } from "../parts/icons";
import { isTiny } from "../parts/pictures";
import { Empty, Failure, Loading } from "../parts/states";
import { get } from "../talk/http";
import type { Model, Picture, Price } from "../talk/types";
import { useText } from "../text/text";
import { examples, useModels, usePrices, useSpeeds } from "./catalogue";

const SHOWN = 4; // pictures of a model

export default function Models() {
  const { t, known } = useText();
  const models = useModels();
  const [words, setWords] = useState("");
  const [kind, setKind] = useState("");
  const kinds = [...new Set(models.data?.map((model) => model.metadata.category))];
  const speeds = useSpeeds().data;
  const rank = (model: Model) => (speeds?.[model.endpoint_id] != null || examples(model.endpoint_id).length ? 0 : 1);
  const found = models.data
    ?.toSorted((one, other) => rank(one) - rank(other)) // what runs here comes first
    .filter((model) => matches(model, words) && (!kind || model.metadata.category === kind));
  return (
    <>
      <div className="page-head">
        <h1>{t("models.title")}</h1>
        <p className="muted">{t("models.lead")}</p>
      </div>
      <div className="filters">
        <Search label={t("models.search")} value={words} onChange={setWords} />
        {kinds.length > 1 && (
          <Segmented
            label={t("models.kind")}
            value={kind}
            onChange={setKind}
            options={[{ value: "", text: t("common.all") }, ...kinds.map((one) => ({ value: one, text: known(`category.${one}`, one) }))]}
          />
        )}
      </div>
      {models.isPending && <Loading />}
      {models.isError && <Failure error={models.error} retry={() => void models.refetch()} />}
      {found?.length === 0 && (
        <Empty icon="search" title={t("models.none")}>
          {t("models.noneHint")}
        </Empty>
      )}
      <ul className="cards">
        {found?.map((model) => (
          <Card key={model.endpoint_id} model={model} />
        ))}
      </ul>
    </>
  );
}

function matches({ endpoint_id, metadata }: Model, words: string): boolean {
  const text = [endpoint_id, metadata.display_name, metadata.description, metadata.category, ...metadata.tags].join(" ").toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function Card({ model }: { model: Model }) {
  const { t, known, seconds } = useText();
  const { endpoint_id: id, metadata } = model;
  const price = usePrices().data?.get(id);
  const speed = useSpeeds().data?.[id];
  const cost = usePriceText(price);
  return (
    <li className="card model-card">
      <Samples id={id} name={metadata.display_name} />
      <div className="card-text">
        <h2>
          <Link href={`/models/${id}`}>{metadata.display_name}</Link>
        </h2>
        <p className="id">{id}</p>
        <p className="muted">{metadata.description}</p>
        <ul className="tags">
          <li>{known(`category.${metadata.category}`, metadata.category)}</li>
          <li>{speed == null ? t("models.neverRan") : `${seconds(speed)} ${t("models.speed")}`}</li>
          {cost && <li>{cost}</li>}
          <li>
            {metadata.license}
            {metadata.license_type === "research" && ` · ${t("models.research")}`}
          </li>
        </ul>
      </div>
    </li>
  );
}

function Samples({ id, name }: { id: string; name: string }) {
  const shipped = examples(id);
  const own = useQuery({
    queryKey: ["pictures", "latest", id],
    queryFn: ({ signal }) => get<{ pictures: Picture[] }>(`api/page/pictures?limit=${SHOWN}&endpoint_id=${encodeURIComponent(id)}`, signal),
    enabled: shipped.length === 0,
  });
  const pictures = shipped.length
    ? shipped.slice(0, SHOWN).map(({ url }) => ({ url, tiny: true }))
    : (own.data?.pictures.map(({ shown_url, width }) => ({ url: shown_url, tiny: isTiny(width) })) ?? []);
  return (
    <div className={`samples n${pictures.length}`} aria-hidden="true" data-name={name}>
      {pictures.map(({ url, tiny }) => (
        <img key={url} src={url} alt="" className={tiny ? "tiny" : undefined} loading="lazy" />
      ))}
      {pictures.length === 0 && <Icon name="image" />}
    </div>
  );
}

export function usePriceText(price: Price | undefined): string | null {
  const { money, known, t } = useText();
  if (!price) return null;
  if (price.unit_price === 0) return t("common.free");
  return `${money(price.unit_price, price.currency)} ${known(`unit.${price.unit}`, price.unit)}`;
}
