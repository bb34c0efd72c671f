// What was made with a model before, below its results.

import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";

import { isTiny } from "../parts/pictures";
import { get } from "../talk/http";
import type { Picture } from "../talk/types";
import { useText } from "../text/text";

const Details = lazy(() => import("../gallery/details"));
const MOST = 16;

export function Recent({ id }: { id: string }) {
  const { t } = useText();
  const [open, setOpen] = useState<number | null>(null);
  const { data, refetch } = useQuery({
    queryKey: ["pictures", "recent", id],
    queryFn: ({ signal }) => get<{ pictures: Picture[] }>(`api/page/pictures?limit=${MOST}&endpoint_id=${encodeURIComponent(id)}`, signal),
    staleTime: 0,
  });
  const pictures = data?.pictures ?? [];
  if (pictures.length === 0) return null;
  return (
    <section aria-labelledby="recent">
      <h2 id="recent" className="section-head">
        {t("play.recent")}
      </h2>
      <ul className="strip">
        {pictures.map((picture, at) => (
          <li key={picture.key}>
            <button type="button" onClick={() => setOpen(at)} aria-label={picture.asked?.prompt ?? picture.file_name}>
              <img src={picture.shown_url} alt="" loading="lazy" className={isTiny(picture.width) ? "tiny" : undefined} />
            </button>
          </li>
        ))}
      </ul>
      {open !== null && (
        <Suspense>
          <Details pictures={pictures} at={open} onMove={setOpen} onClose={() => setOpen(null)} onDeleted={() => (setOpen(null), void refetch())} />
        </Suspense>
      )}
    </section>
  );
}
