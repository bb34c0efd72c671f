// Calls to this server with the session's key; errors become one type that says which field is meant.

export interface Problem {
  loc: (string | number)[];
  msg: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: the server was not reached
    readonly kind: string,
    message: string,
    readonly problems: Problem[] = [],
  ) {
    super(message);
  }
}

let key = "";
let refused: () => void = () => {};

export function rememberKey(text: string, whenRefused: () => void): void {
  key = text;
  refused = whenRefused;
}

// Addresses are relative to <base>, so that the page may live below a prefix.
export const address = (path: string): string => new URL(path, document.baseURI).href;

export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key) headers.set("Authorization", `Key ${key}`);
  let answer: Response;
  try {
    answer = await fetch(address(path), { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "");
  }
  if (answer.ok) return answer;
  const told = await toldError(answer);
  if (answer.status === 401) refused();
  throw told;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await send(path, signal ? { signal } : {})).json() as Promise<T>;
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await send(path, signal ? { ...init, signal } : init)).json() as Promise<T>;
}

// Events of a stream, until it ends.
export async function* events(path: string, signal: AbortSignal): AsyncGenerator<unknown> {
  const answer = await send(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    let end: number;
    while ((end = held.indexOf("\n\n")) >= 0) {
      const event = held.slice(0, end);
      held = held.slice(end + 2);
      if (event.startsWith("data: ")) yield JSON.parse(event.slice(6));
    }
  }
}

async function toldError(answer: Response): Promise<ApiError> {
  let body: any = {};
  try {
    body = await answer.json();
  } catch {
    // No JSON: a proxy's own page, perhaps. The status says enough.
  }
  const problems: Problem[] = Array.isArray(body.detail) ? body.detail : [];
  const own = typeof body.detail === "string" ? body.detail : undefined;
  const message = body.message ?? own ?? body.error?.message ?? `HTTP ${answer.status}`;
  const kind = answer.headers.get("x-fal-error-type") ?? body.error_type ?? body.error?.type ?? "error";
  return new ApiError(answer.status, kind, message, problems);
}
