// The catalogue as the server tells it, with prices and how fast models are on this machine.

import { useQuery } from "@tanstack/react-query";

import type { OpenApi } from "../form/schema";
import { get } from "../talk/http";
import type { Model, Price } from "../talk/types";

const RARELY = 300_000; // ms: it changes only when the server starts anew

async function everyModel(signal: AbortSignal): Promise<Model[]> {
  const found: Model[] = [];
  for (let cursor: string | null = "0"; cursor !== null; ) {
    const page: { models: Model[]; next_cursor: string | null } = await get(`platform/v1/models?limit=100&cursor=${cursor}`, signal);
    found.push(...page.models);
    cursor = page.next_cursor;
  }
  return found;
}

export function useModels() {
  return useQuery({ queryKey: ["models"], queryFn: ({ signal }) => everyModel(signal), staleTime: RARELY });
}

export function usePrices() {
  return useQuery({
    queryKey: ["prices"],
    queryFn: async ({ signal }) => {
      const { prices } = await get<{ prices: Price[] }>("platform/v1/models/pricing", signal);
      return new Map(prices.map((price) => [price.endpoint_id, price]));
    },
    staleTime: RARELY,
  });
}

export function useSpeeds() {
  return useQuery({ queryKey: ["speeds"], queryFn: ({ signal }) => get<Record<string, number | null>>("api/page/speeds", signal), staleTime: 30_000 });
}

// Where a picture of another model's can be begun with: the first that starts from pictures, if there is one.
export function useTarget(): string | null {
  const models = useModels().data ?? [];
  return models.find((model) => model.metadata.category.startsWith("image-to-"))?.endpoint_id ?? null;
}

export const openApiPath = (endpoint: string) => `api/openapi/queue/openapi.json?endpoint_id=${encodeURIComponent(endpoint)}`;

export function useOpenApi(endpoint: string) {
  return useQuery({ queryKey: ["openapi", endpoint], queryFn: ({ signal }) => get<OpenApi>(openApiPath(endpoint), signal), staleTime: RARELY });
}

// Pictures that a model really painted, shipped with it; others show the tenant's own.
const SHIPPED = import.meta.glob<string>("../examples/*/*.png", { eager: true, query: "?url", import: "default" });

export function examples(endpoint: string): { url: string; prompt: string }[] {
  const folder = `../examples/${endpoint.replaceAll("/", "__")}/`;
  return Object.entries(SHIPPED)
    .filter(([path]) => path.startsWith(folder))
    .map(([path, url]) => ({ url, prompt: path.slice(folder.length).replace(/^\d+_(.*)\.png$/, "$1").replaceAll("_", " ") }));
}
