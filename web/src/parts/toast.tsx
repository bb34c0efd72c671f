// Short notices at the edge of the page, which screen readers say too.

import { useSyncExternalStore } from "react";

const LASTS = 4000; // ms
let notices: { id: number; text: string }[] = [];
let next = 1;
const listeners = new Set<() => void>();

export function toast(text: string): void {
  const id = next++;
  notices = [...notices, { id, text }];
  listeners.forEach((listener) => listener());
  setTimeout(() => {
    notices = notices.filter((notice) => notice.id !== id);
    listeners.forEach((listener) => listener());
  }, LASTS);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function Toasts() {
  const shown = useSyncExternalStore(subscribe, () => notices);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map(({ id, text }) => (
        <div key={id} className="toast">
          {text}
        </div>
      ))}
    </div>
  );
}
