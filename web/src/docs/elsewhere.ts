// What a shell on another machine needs: this server's address in every client's variables.

import { address } from "../talk/http";

export function elsewhere(): string {
  const site = address("").replace(/\/$/, "");
  const lines = [
    "export FAL_KEY=...  # a key of this server",
    `export LATERNA_URL=${site}`,
    `export OPENAI_BASE_URL=${site}/openai/v1 OPENAI_API_KEY=$FAL_KEY`,
    `export REPLICATE_BASE_URL=${site}/replicate REPLICATE_API_TOKEN=$FAL_KEY`,
  ];
  const host = site.replace("https://", "");
  if (site.startsWith("https:")) lines.push(`export FAL_RUN_HOST=${host} FAL_QUEUE_RUN_HOST=${host}/queue`);
  return lines.join("\n");
}
