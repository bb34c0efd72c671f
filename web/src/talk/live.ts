// The page's one WebSocket: opened while a view watches something, and opened again when it breaks.

import { useEffect, useSyncExternalStore } from "react";

import { address, post } from "./http";

const watched = new Map<string, number>(); // topic -> views that watch it
const latest = new Map<string, unknown>();
const listeners = new Set<() => void>();
let socket: WebSocket | null = null;
let connected = false;
let opening = false;
let retry = 500; // ms until the next try

function tell(): void {
  for (const listener of listeners) listener();
}

function ask(): void {
  if (connected) socket!.send(JSON.stringify({ watch: [...watched.keys()] }));
}

async function open(): Promise<void> {
  if (opening || socket || watched.size === 0) return;
  opening = true;
  try {
    const { token } = await post<{ token: string }>("api/page/token", {});
    const made = new WebSocket(address("api/page/live").replace(/^http/, "ws"));
    socket = made;
    made.onopen = () => {
      made.send(JSON.stringify({ token }));
      connected = true;
      retry = 500;
      ask();
      tell();
    };
    made.onmessage = ({ data }) => {
      const { topic, body } = JSON.parse(data);
      latest.set(topic, body);
      tell();
    };
    made.onclose = () => {
      if (socket === made) lost();
    };
  } catch {
    setTimeout(open, (retry = Math.min(retry * 2, 10_000)));
  } finally {
    opening = false;
  }
}

function lost(): void {
  socket = null;
  connected = false;
  tell();
  setTimeout(open, (retry = Math.min(retry * 2, 10_000)));
}

function close(): void {
  const old = socket;
  socket = null;
  connected = false;
  latest.clear();
  old?.close();
}

function watch(topic: string): () => void {
  watched.set(topic, (watched.get(topic) ?? 0) + 1);
  ask();
  void open();
  return () => {
    const views = watched.get(topic)! - 1;
    if (views) watched.set(topic, views);
    else watched.delete(topic);
    if (watched.size === 0) close();
    else ask();
  };
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// The latest of a topic, undefined before the first; and whether more will come.
export function useLive<T>(topic: string): { body: T | undefined; connected: boolean } {
  useEffect(() => watch(topic), [topic]);
  const body = useSyncExternalStore(subscribe, () => latest.get(topic)) as T | undefined;
  const isConnected = useSyncExternalStore(subscribe, () => connected);
  return { body, connected: isConnected };
}
