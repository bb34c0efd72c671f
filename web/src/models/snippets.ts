// The call for an input, in the clients' own words. A test runs what is written here.

import type { Values } from "../form/schema";
import { SIZES } from "../form/schema";

export type Client = "python" | "javascript" | "curl" | "openai" | "replicate";

export interface Snippet {
  name: string; // of the client
  file: string | null; // what to save it as; absent: it is typed into a shell
  run: string; // the command that runs it, or what a shell needs before
  code: string;
}

export function snippets(endpoint: string, input: Values): Record<Client, Snippet> {
  return {
    python: { name: "Python", file: "app.py", run: "laterna exec -- python app.py", code: python(endpoint, input) },
    javascript: { name: "JavaScript", file: "app.mjs", run: "laterna exec -- node app.mjs", code: javascript(endpoint, input) },
    curl: { name: "cURL", file: null, run: 'eval "$(laterna env)"', code: curl(endpoint, input) },
    openai: { name: "OpenAI", file: "app.py", run: "laterna exec -- python app.py", code: openai(endpoint, input) },
    replicate: { name: "Replicate", file: "app.py", run: "laterna exec -- python app.py", code: replicate(endpoint, input) },
  };
}

function python(endpoint: string, input: Values): string {
  return `import fal_client  # pip install fal-client

result = fal_client.subscribe(
    ${JSON.stringify(endpoint)},
    arguments=${pythonValue(input, 4)},
)
for image in result["images"]:
    print(image["url"])
`;
}

function javascript(endpoint: string, input: Values): string {
  return `import { createFalClient } from "@fal-ai/client"; // npm install @fal-ai/client

const { LATERNA_URL, FAL_KEY } = process.env;
const fal = createFalClient({ credentials: FAL_KEY, proxyUrl: { url: \`\${LATERNA_URL}/api/fal/proxy\`, when: "always" } });
const { data } = await fal.subscribe(${JSON.stringify(endpoint)}, {
  input: ${JSON.stringify(input, null, 2).replaceAll("\n", "\n  ")},
});
for (const image of data.images) console.log(image.url);
`;
}

function curl(endpoint: string, input: Values): string {
  const body = JSON.stringify(input, null, 2).replaceAll("'", "'\\''");
  return `curl "$LATERNA_URL/${endpoint}" \\
  -H "Authorization: Key $FAL_KEY" \\
  -H "Content-Type: application/json" \\
  -d '${body}'
`;
}

function openai(endpoint: string, input: Values): string {
  const { prompt = "", num_images, image_size, sync_mode, output_format, ...rest } = input;
  const named = [
    `    model=${JSON.stringify(endpoint)},`,
    `    prompt=${pythonValue(prompt, 4)},`,
    ...(num_images === undefined ? [] : [`    n=${num_images},`]),
    ...(image_size === undefined ? [] : [`    size="${sizeText(image_size)}",`]),
    ...(output_format === undefined ? [] : [`    output_format=${JSON.stringify(output_format)},`]),
    `    response_format="url",`,
    ...(Object.keys(rest).length === 0 ? [] : [`    extra_body=${pythonValue(rest, 4)},`]),
  ];
  return `from openai import OpenAI  # pip install openai

client = OpenAI()
made = client.images.generate(
${named.join("\n")}
)
for image in made.data:
    print(image.url)
`;
}

// Replicate's names have one slash.
function replicate(endpoint: string, input: Values): string {
  const [owner, ...rest] = endpoint.split("/");
  return `import replicate  # pip install replicate

made = replicate.run(
    ${JSON.stringify(`${owner}/${rest.join("-")}`)},
    input=${pythonValue(input, 4)},
)
for file in made:
    print(file.url)
`;
}

function sizeText(size: unknown): string {
  const { width, height } = size as { width: number; height: number };
  const [w, h] = (typeof size === "string" && SIZES[size]) || [width, height];
  return `${w}x${h}`;
}

// A JSON value as Python writes it. Its strings are JSON's, which Python reads alike but for escaped surrogates: none here.
function pythonValue(value: unknown, indent: number): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const items = Array.isArray(value)
    ? value.map((item) => pythonValue(item, indent + 4))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonValue(item, indent + 4)}`);
  if (items.length === 0) return open! + close!;
  const pad = " ".repeat(indent);
  return `${open}\n${items.map((item) => `${pad}    ${item},\n`).join("")}${pad}${close}`;
}
