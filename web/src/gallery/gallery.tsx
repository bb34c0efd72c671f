// Everything that the tenant generated, in one endless wall of which only what is in sight is mounted.

import { useInfiniteQuery } from "@tanstack/react-query";
import { memo, useCallback, useLayoutEffect, useMemo, useRef, useState } from "react";

import { Search, Select } from "../parts/controls";
import { Icon } from "../parts/icons";
import { isTiny } from "../parts/pictures";
import { Empty, Failure, Loading } from "../parts/states";
import { useSettled } from "../parts/settled";
import { get } from "../talk/http";
import type { Picture } from "../talk/types";
import { useText } from "../text/text";
import { useModels } from "../models/catalogue";
import { Compare } from "./compare";
import Details from "./details";
import { useWindow } from "./window";

const PAGE = 120;
const DAY = 86_400_000; // ms
const PERIODS = { "": 0, day: 1, week: 7, month: 30 } as const; // days

interface Page {
  pictures: Picture[];
  next_cursor: string | null;
}

interface Filters {
  words: string;
  model: string;
  period: keyof typeof PERIODS;
}

export default function Gallery() {
  const { t } = useText();
  const [filters, setFilters] = useState<Filters>({ words: "", model: "", period: "" });
  const [open, setOpen] = useState<number | null>(null);
  const [picked, setPicked] = useState<Picture[]>([]);
  const [comparing, setComparing] = useState(false);
  const { pictures, pages } = usePictures(filters);
  const pick = useCallback((picture: Picture) => {
    setPicked((picked) => {
      const without = picked.filter((one) => one.key !== picture.key);
      return without.length < picked.length ? without : [...picked, picture].slice(-2);
    });
  }, []);
  const isFiltered = Object.values(filters).some(Boolean);
  return (
    <>
      <div className="page-head">
        <h1>{t("gallery.title")}</h1>
        <p className="muted">{t("gallery.lead")}</p>
      </div>
      <FilterBar filters={filters} onChange={setFilters} />
      {pages.isPending && <Loading />}
      {pages.isError && <Failure error={pages.error} retry={() => void pages.refetch()} />}
      {pages.isSuccess && pictures.length === 0 && (
        <Empty icon="gallery" title={t(isFiltered ? "gallery.emptyFilter" : "gallery.empty")}>
          {!isFiltered && t("gallery.emptyHint")}
        </Empty>
      )}
      <Wall
        pictures={pictures}
        picked={picked}
        onOpen={setOpen}
        onPick={pick}
        onEnd={() => pages.hasNextPage && !pages.isFetchingNextPage && void pages.fetchNextPage()}
      />
      {picked.length > 0 && (
        <div className="pick-bar" role="status">
          <span>{t("gallery.picked", { n: picked.length })}</span>
          <button type="button" className="button" onClick={() => setPicked([])}>
            {t("gallery.clear")}
          </button>
          <button type="button" className="button primary" disabled={picked.length < 2} onClick={() => setComparing(true)}>
            <Icon name="compare" /> {t("gallery.compare")}
          </button>
        </div>
      )}
      {comparing && picked.length === 2 && <Compare one={picked[0]!} other={picked[1]!} onClose={() => setComparing(false)} />}
      {open !== null && pictures[open] && (
        <Details
          pictures={pictures}
          at={open}
          onMove={setOpen}
          onClose={() => setOpen(null)}
          onDeleted={() => (setOpen(null), setPicked([]), void pages.refetch())}
        />
      )}
    </>
  );
}

function usePictures({ words, model, period }: Filters) {
  const settled = useSettled(words.trim());
  const pages = useInfiniteQuery({
    queryKey: ["pictures", "wall", settled, model, period],
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams({ limit: String(PAGE) });
      if (pageParam) query.set("cursor", pageParam);
      if (settled) query.set("words", settled);
      if (model) query.set("endpoint_id", model);
      if (period) query.set("since", new Date(Date.now() - PERIODS[period] * DAY).toISOString());
      return get<Page>(`api/page/pictures?${query}`, signal);
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
    staleTime: 0,
    structuralSharing: false, // comparing ten thousand pictures with themselves at each new page holds up the scrolling
  });
  const pictures = useMemo(() => pages.data?.pages.flatMap((page) => page.pictures) ?? [], [pages.data]);
  return { pages, pictures };
}

function FilterBar({ filters, onChange }: { filters: Filters; onChange: (filters: Filters) => void }) {
  const { t } = useText();
  const models = useModels().data ?? [];
  const periods = { "": "gallery.anyTime", day: "gallery.day", week: "gallery.week", month: "gallery.month" } as const;
  return (
    <div className="filters">
      <Search label={t("gallery.search")} value={filters.words} onChange={(words) => onChange({ ...filters, words })} />
      <Select
        label={t("gallery.model")}
        value={filters.model}
        onChange={(model) => onChange({ ...filters, model })}
        options={[
          { value: "", text: `${t("gallery.model")}: ${t("common.all").toLowerCase()}` },
          ...models.map((one) => ({ value: one.endpoint_id, text: one.metadata.display_name })),
        ]}
      />
      <Select
        label={t("gallery.when")}
        value={filters.period}
        onChange={(period) => onChange({ ...filters, period: period as Filters["period"] })}
        options={Object.entries(periods).map(([value, key]) => ({ value, text: t(key) }))}
      />
    </div>
  );
}

interface WallProps {
  pictures: Picture[];
  picked: Picture[];
  onOpen: (at: number) => void;
  onPick: (picture: Picture) => void;
  onEnd: () => void; // the end is near
}

function Wall({ pictures, picked, onOpen, onPick, onEnd }: WallProps) {
  const { t } = useText();
  const wall = useRef<HTMLDivElement>(null);
  const { columns, row, first, last, height } = useWindow(wall, pictures.length);
  const isNearEnd = last > pictures.length - 2 * PAGE / 3;
  useLayoutEffect(() => {
    if (isNearEnd && pictures.length > 0) onEnd();
  });
  return (
    <div ref={wall} className="wall" style={{ height }} role="list" aria-label={t("gallery.items")}>
      {pictures.slice(first, last).map((picture, n) => (
        <Tile
          key={picture.key}
          picture={picture}
          at={first + n}
          columns={columns}
          row={row}
          isPicked={picked.some((one) => one.key === picture.key)}
          onOpen={onOpen}
          onPick={onPick}
        />
      ))}
    </div>
  );
}

interface TileProps {
  picture: Picture;
  at: number; // of all pictures
  columns: number;
  row: number; // pixels
  isPicked: boolean;
  onOpen: (at: number) => void;
  onPick: (picture: Picture) => void;
}

// Rendered once for as long as it is in sight: a step of scrolling costs the tiles that come, not those that stay.
const Tile = memo(function Tile({ picture, at, columns, row, isPicked, onOpen, onPick }: TileProps) {
  const { t } = useText();
  const prompt = picture.asked?.prompt ?? picture.file_name;
  return (
    <div
      role="listitem"
      aria-setsize={-1}
      aria-posinset={at + 1}
      className={isPicked ? "tile picked" : "tile"}
      style={{ width: `${100 / columns}%`, height: row, transform: `translate(${(at % columns) * 100}%, ${Math.floor(at / columns) * row}px)` }}
    >
      <button type="button" className="tile-open" onClick={() => onOpen(at)} aria-label={prompt}>
        <img src={picture.shown_url} alt="" decoding="async" className={isTiny(picture.width) ? "tiny" : undefined} />
      </button>
      <label className="tile-pick" title={t("gallery.compare")}>
        <input type="checkbox" checked={isPicked} onChange={() => onPick(picture)} aria-label={t("gallery.pick", { prompt })} />
        <Icon name="check" />
      </label>
    </div>
  );
});
