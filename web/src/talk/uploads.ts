// A file of the user's, stored by this server; its address goes into an input.

import { send } from "./http";

export async function upload(file: File): Promise<string> {
  const headers = { "Content-Type": file.type || "application/octet-stream", "X-Fal-File-Name": encodeURIComponent(file.name) };
  const answer = await send("cdn/files/upload", { method: "POST", body: file, headers });
  return ((await answer.json()) as { access_url: string }).access_url;
}
