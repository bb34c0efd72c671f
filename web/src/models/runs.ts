// What the playground runs: one request for each endpoint, followed until it is over, whatever view is open.
// A reload finds the request again: its id is in the tab's session storage.

import { useSyncExternalStore } from "react";

import { ApiError, events, get, post, send } from "../talk/http";
import type { Eta, Money } from "../talk/types";
import type { Values } from "../form/schema";

export interface Output {
  url: string;
  file_name: string | null;
  content_type: string | null;
  width: number | null;
  height: number | null;
}

export interface Run {
  id: string; // of the request; empty until the server has it
  input: Values;
  phase: "sending" | "queued" | "running" | "done" | "failed" | "cancelled";
  cancelling: boolean;
  position: number;
  eta: Eta | null;
  etaAt: number; // ms, when the ETA was told
  stage: string; // empty before the first
  step: number;
  steps: number;
  batch: number; // samples in its latest call
  previews: Record<number, string>; // by sample, data URIs
  price: Money | null;
  outputs: Output[];
  seed: number | null;
  seconds: number | null; // of inference
  error: unknown; // present where the phase is failed
}

const runs = new Map<string, Run>(); // by endpoint
const listeners = new Set<() => void>();
const stored = (endpoint: string) => `laterna.run.${endpoint}`;

export function useRun(endpoint: string): Run | undefined {
  return useSyncExternalStore(subscribe, () => runs.get(endpoint));
}

export function isOver(run: Run): boolean {
  return run.phase === "done" || run.phase === "failed" || run.phase === "cancelled";
}

export async function start(endpoint: string, input: Values): Promise<void> {
  const run = begun(input);
  runs.set(endpoint, run);
  tell();
  try {
    const told = await post<any>(`queue/${endpoint}`, input);
    if (runs.get(endpoint)?.phase !== "sending") return;
    sessionStorage.setItem(stored(endpoint), JSON.stringify({ id: told.request_id, input }));
    change(endpoint, { id: told.request_id, phase: "queued", position: told.queue_position ?? 0, price: told.price, ...etaOf(told) });
    await follow(endpoint, told.request_id);
  } catch (error) {
    if (error instanceof ApiError && error.problems.length > 0) runs.delete(endpoint); // the form says what is wrong
    else change(endpoint, { phase: "failed", error });
    tell();
    throw error;
  }
}

export function find(endpoint: string): void {
  const kept = sessionStorage.getItem(stored(endpoint));
  if (!kept || runs.has(endpoint)) return;
  const { id, input } = JSON.parse(kept);
  runs.set(endpoint, { ...begun(input), id, phase: "queued" });
  follow(endpoint, id).catch(() => forget(endpoint)); // it has expired or was deleted
}

export function forget(endpoint: string): void {
  runs.delete(endpoint);
  sessionStorage.removeItem(stored(endpoint));
  tell();
}

export async function cancel(endpoint: string): Promise<void> {
  const { id } = runs.get(endpoint)!;
  change(endpoint, { cancelling: true });
  await send(`queue/requests/${id}/cancel`, { method: "PUT" });
}

function begun(input: Values): Run {
  return {
    id: "", input, phase: "sending", cancelling: false, position: 0, eta: null, etaAt: 0, stage: "", step: 0, steps: 0,
    batch: 0, previews: {}, price: null, outputs: [], seed: null, seconds: null, error: null,
  };
}

// Hear of it until it is over; a stream that breaks is opened again.
async function follow(endpoint: string, id: string): Promise<void> {
  const mine = () => runs.get(endpoint)?.id === id;
  for (let tries = 0; ; tries++) {
    const stop = new AbortController();
    let isEnded = false;
    try {
      for await (const event of events(`queue/requests/${id}/status/stream?previews=1`, stop.signal)) {
        if (!mine()) return;
        tries = 0;
        hear(endpoint, event);
        isEnded ||= (event as any).status === "COMPLETED";
      }
      if (isEnded) return await end(endpoint, id);
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) throw error;
      if (tries >= 8) throw error;
    } finally {
      stop.abort();
    }
    await new Promise((resolve) => setTimeout(resolve, 400 * 2 ** Math.min(tries, 4)));
  }
}

function hear(endpoint: string, event: any): void {
  const run = runs.get(endpoint)!;
  const heard: Partial<Run> = event.eta_seconds !== undefined ? etaOf(event) : {};
  if (event.status === "IN_QUEUE") heard.position = event.queue_position ?? 0;
  if (event.status === "IN_PROGRESS") heard.phase = "running";
  const { progress } = event;
  if (progress) {
    Object.assign(heard, { stage: progress.stage, step: progress.step, steps: progress.steps, batch: progress.batch });
    heard.eta = { seconds: progress.remaining_s, low: progress.remaining_s, high: progress.remaining_s };
    heard.etaAt = Date.now();
    if (progress.preview) heard.previews = { ...run.previews, [progress.preview_index ?? 0]: progress.preview };
  }
  change(endpoint, heard);
}

async function end(endpoint: string, id: string): Promise<void> {
  try {
    const result = await get<any>(`queue/requests/${id}`);
    change(endpoint, { phase: "done", outputs: result.images ?? [], seed: result.seed ?? null, seconds: result.timings?.inference ?? null });
  } catch (error) {
    const isCancelled = error instanceof ApiError && error.status === 499;
    change(endpoint, isCancelled ? { phase: "cancelled" } : { phase: "failed", error });
  }
}

function etaOf(told: any): Partial<Run> {
  if (told.eta_seconds == null) return { eta: null };
  const [low, high] = told.eta_interval_seconds;
  return { eta: { seconds: told.eta_seconds, low, high }, etaAt: Date.now() };
}

function change(endpoint: string, what: Partial<Run>): void {
  const run = runs.get(endpoint);
  if (run) runs.set(endpoint, { ...run, ...what });
  tell();
}

function tell(): void {
  listeners.forEach((listener) => listener());
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
