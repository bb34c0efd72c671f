// What this server says, as far as the page reads it.

export interface Session {
  tenant: string;
  scopes: string[];
  operator: boolean;
  version: string;
  problem: string | null; // why nothing can be generated now
}

export interface Model {
  endpoint_id: string;
  metadata: {
    display_name: string;
    category: string;
    description: string;
    tags: string[];
    license: string;
    license_url: string;
    license_type: string;
  };
}

export interface Price {
  endpoint_id: string;
  unit_price: number;
  unit: string;
  currency: string;
}

export interface Money {
  amount: number;
  currency: string;
}

export interface Eta {
  seconds: number;
  low: number;
  high: number;
}

export interface Estimate {
  price: Money;
  eta: Eta | null;
}

export interface Asked {
  prompt: string;
  negative_prompt?: string;
  width: number;
  height: number;
  steps: number;
  cfg_scale: number;
  guidance?: number | null;
  sampler: string;
  seed: number;
  acceleration?: string;
  count?: number;
  loras?: { path: string; scale: number }[];
}

export interface Made {
  url: string;
  shown_url: string; // the same, and for an hour at least the page's own way in where its owner restricted who may read
  file_name: string;
  content_type: string;
  size_bytes: number;
  sha256: string | null;
  width: number | null;
  height: number | null;
  index: number;
  seed: number;
}

export interface Picture extends Made {
  key: string;
  created_at: string;
  expires_at: string | null;
  request_id: string;
  endpoint_id: string;
  model_revision: string;
  inference_seconds: number | null;
  asked: Asked | null;
}

export interface Progress {
  stage: string;
  step: number;
  steps: number;
  batch: number;
  remaining_seconds: number;
}

export interface Listed {
  request_id: string;
  endpoint_id: string;
  model_revision: string;
  dialect: string;
  class: string;
  state: string;
  outcome: string | null;
  cancelling: boolean;
  error: { type: string; message: string } | null;
  prompt: string | null;
  pictures: number | null;
  position: number | null;
  eta: Eta | null;
  progress: Progress | null;
  attempts: number;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  expires_at: string | null;
  inference_seconds: number | null;
  price: Money;
  tags: Record<string, string>;
}

export interface OneRequest extends Listed {
  input: Record<string, unknown> | null;
  asked: Asked | null;
  webhook_url: string | null;
  outputs: Made[];
  logs: { at: string; level: string; message: string }[];
}

export interface Span {
  stage: string;
  start_seconds: number;
  seconds: number;
  calls: number;
  batch: { smallest: number; largest: number };
}

export interface Attempt {
  number: number;
  worker: string;
  outcome: string | null;
  leased_at: string;
  started_at: string | null;
  ended_at: string | null;
  device_seconds: number | null;
  timeline: Span[];
}

export interface Webhook {
  url: string;
  delivered_at: string | null;
  next_at: string | null; // of the next try; absent: none will come
  tries: { time: string; status: number | null; error: string | null; milliseconds: number }[];
}

export interface Detail {
  webhook: Webhook | null; // absent: nobody is told
  attempts: Attempt[];
  usage: { attempt: number; outcome: string; stage: string; calls: number; device_seconds: number; amount: number; currency: string }[];
}

export interface Device {
  worker: string;
  ready: boolean;
  device: string | null;
  name: string | null;
  memory_bytes: number | null;
  resident: string[];
  call: { model: string; stage: string; seconds: number } | null;
  pulses: { at: string; busy_seconds: number; calls: number; samples: number; missed_seconds: number }[];
  work: {
    request_id: string;
    tenant: string;
    class: string;
    model: string;
    begun: boolean;
    left_seconds: number;
    progress: Progress | null;
  }[];
}

export type Percentiles = { p50: number; p90: number; p99: number } | null;

export interface Floor {
  devices: Device[];
  queue: { class: string; tenant: string; model: string; waiting: number }[];
  recent: {
    waited: Percentiles;
    total: Percentiles;
    outcomes: Record<string, number>;
    errors: Record<string, number>;
    by_minute: Record<string, number>;
  };
  problem: string | null;
  error?: { type: string; message: string };
}

export interface UsedRow {
  time: string;
  endpoint_id: string;
  api_key_id: string | null;
  key: string | null; // its name; absent: the server itself asked
  requests: number;
  unit: string;
  unit_price: number;
  quantity: number;
  device_seconds: number;
  cost: number;
  currency: string;
}

// Amounts are exact decimals in text.
export interface Purse {
  currency: string;
  credit: string;
  held: string;
  spent_this_month: string;
  monthly: string | null; // absent: no limit
  warn_at: string | null;
  warned: boolean;
  prepaid: boolean;
}

export interface Billing {
  purses: Purse[];
}

export interface ApiKey {
  key_id: string;
  alias: string;
  scope: string;
  created_at: string;
  last_used_at: string | null;
  expires_at: string | null;
  models: string[]; // patterns of endpoint ids
  realtime: boolean;
}

export interface NewKey {
  key_id: string;
  key: string; // shown once
}

export type Limit = "concurrency" | "queue_length" | "rate_per_minute" | "storage_bytes";

export interface Tenant {
  tenant_id: string;
  name: string;
  weight: number;
  limits: Record<Limit, number | null>; // absent: no limit
}

export interface Limits {
  tenant: string;
  limits: Record<Limit, number | null>;
  use: Record<Limit, number>;
  share: { weight: number; fraction: number };
  queue: { place: number | null; tenants: number };
}
