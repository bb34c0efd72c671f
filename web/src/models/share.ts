// What a form says, in the part of an address that no server sees.

import type { Values } from "../form/schema";

const MARK = "#input=";

export function shareLink(endpoint: string, input: Values): string {
  return new URL(`models/${endpoint}${mark(input)}`, document.baseURI).href;
}

export function mark(input: Values): string {
  const bytes = new TextEncoder().encode(JSON.stringify(input));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return MARK + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function shared(): Values | null {
  if (!location.hash.startsWith(MARK)) return null;
  try {
    const text = atob(location.hash.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/"));
    const found = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
    return typeof found === "object" && found !== null && !Array.isArray(found) ? found : null;
  } catch {
    return null; // cut short on its way: begin with an empty form
  }
}
