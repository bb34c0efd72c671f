// Which tiles of a tall wall are in sight: those alone are mounted, whatever its length.

import { useLayoutEffect, useState, type RefObject } from "react";

const WIDEST = 220; // pixels of a tile
const AHEAD = 3; // rows above and below the window
const STEP = 100; // pixels of scrolling that change nothing: less than a row, of which some are ready
export const MOST = 280; // tiles that are ever mounted

export interface Window {
  columns: number;
  row: number; // pixels
  first: number; // tile
  last: number; // after the last tile
  height: number; // pixels of the whole wall
}

export function useWindow(wall: RefObject<HTMLElement | null>, count: number): Window {
  const [{ width, above, seen }, measure] = useState({ width: 0, above: 0, seen: 800 });
  useLayoutEffect(() => {
    const look = () => {
      const box = wall.current?.getBoundingClientRect();
      if (box) measure((was) => changed(was, { width: box.width, above: Math.max(0, -box.top), seen: window.innerHeight }));
    };
    let asked = 0;
    const soon = () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(look);
    };
    look();
    const resized = new ResizeObserver(soon);
    resized.observe(wall.current!);
    window.addEventListener("scroll", soon, { passive: true });
    return () => {
      cancelAnimationFrame(asked);
      resized.disconnect();
      window.removeEventListener("scroll", soon);
    };
  }, [wall]);
  const columns = Math.max(width < 480 ? 3 : 2, Math.round(width / WIDEST));
  const row = width / columns || WIDEST;
  const top = Math.max(0, Math.floor(above / row) - AHEAD);
  const rows = Math.min(Math.ceil(seen / row) + 2 * AHEAD + 1, Math.floor(MOST / columns));
  return {
    columns,
    row,
    first: Math.min(top * columns, count),
    last: Math.min((top + rows) * columns, count),
    height: Math.ceil(count / columns) * row,
  };
}

interface Measured {
  width: number;
  above: number;
  seen: number;
}

// The same object where nothing changes that anybody sees, so that React has nothing to do.
function changed(was: Measured, now: Measured): Measured {
  const isSame = was.width === now.width && was.seen === now.seen && Math.abs(was.above - now.above) < STEP;
  return isSame && (now.above > 0) === (was.above > 0) ? was : now;
}
