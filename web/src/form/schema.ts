// An endpoint's JSON schema, read into the fields of a form: what kind of control each needs, and what to send.

export interface Schema {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  examples?: unknown[];
  $ref?: string;
  "x-fal-order-properties"?: string[];
}

export interface OpenApi {
  components: { schemas: Record<string, Schema> };
  paths: Record<string, { post?: { requestBody: { content: { "application/json": { schema: Schema } } } } }>;
}

export type Kind = "words" | "text" | "number" | "seed" | "choice" | "switch" | "size" | "image" | "images" | "loras" | "json";

export interface Field {
  name: string;
  kind: Kind;
  schema: Schema; // without references and null
  required: boolean;
  whole: boolean; // of a number
  advanced: boolean; // folded away
  presets: string[]; // of a size
  sides: { low: number; high: number } | null; // of a size that may be chosen freely, in pixels
}

export type Values = Record<string, unknown>;

// Fields that fal's clients may send and that mean nothing here.
const NOTHING = /^Accepted for compatibility|not supported here/i;
const FIRST = ["prompt", "image_size", "num_inference_steps", "guidance_scale", "num_images", "seed"];
const MANY = 1000; // characters: a text that long needs room
export const LARGEST_SEED = 2 ** 32 - 1; // every client's numbers hold it exactly

export const SIZES: Record<string, [number, number]> = {
  square_hd: [1024, 1024],
  square: [512, 512],
  portrait_4_3: [768, 1024],
  portrait_16_9: [576, 1024],
  landscape_4_3: [1024, 768],
  landscape_16_9: [1024, 576],
};

export function fieldsOf(document: OpenApi): Field[] {
  const schemas = document.components.schemas;
  const posted = Object.values(document.paths).find((path) => path.post)!.post!;
  const input = resolved(posted.requestBody.content["application/json"].schema, schemas);
  const order = input["x-fal-order-properties"] ?? Object.keys(input.properties ?? {});
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return order
    .map((name) => fieldOf(name, input.properties![name]!, input.required?.includes(name) ?? false, schemas))
    .filter((field) => !NOTHING.test(field.schema.description ?? ""))
    .filter((field) => field.schema.maxItems !== 0)
    .sort((one, other) => rank(one.name) - rank(other.name));
}

export function initial(fields: Field[]): Values {
  return Object.fromEntries(fields.filter(({ schema }) => schema.default !== undefined).map((f) => [f.name, f.schema.default]));
}

// What is sent: what the form says, without what the endpoint takes to be so anyway.
export function inputOf(fields: Field[], values: Values): Values {
  const sent: Values = {};
  for (const { name, schema, required } of fields) {
    const value = values[name];
    if (value === undefined || value === null) continue;
    if (!required && (same(value, schema.default) || value === "")) continue;
    sent[name] = value;
  }
  return sent;
}

export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function fieldOf(name: string, raw: Schema, required: boolean, schemas: Record<string, Schema>): Field {
  const options = (raw.anyOf ?? [raw]).map((one) => resolved(one, schemas)).filter((one) => one.type !== "null");
  const schema = { ...options[0]!, ...resolved(withoutOptions(raw), schemas) };
  const kind = kindOf(name, schema, options);
  return {
    name,
    kind,
    schema,
    required,
    whole: schema.type === "integer",
    advanced: !required && !FIRST.includes(name) && kind !== "image" && kind !== "images",
    presets: (options.find((one) => one.enum)?.enum ?? []) as string[],
    sides: kind === "size" ? sidesOf(options) : null,
  };
}

function withoutOptions({ anyOf: _, ...rest }: Schema): Schema {
  return rest;
}

function kindOf(name: string, schema: Schema, options: Schema[]): Kind {
  if (options.some((one) => one.properties?.width && one.properties.height)) return "size";
  if (name === "seed") return "seed";
  if (schema.enum) return "choice";
  if (schema.type === "boolean") return "switch";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "string") {
    if (/(^|_)(image|mask)(_url)?$/.test(name)) return "image";
    return (schema.maxLength ?? 0) >= MANY || name === "prompt" ? "words" : "text";
  }
  if (schema.type === "array" && /image_urls$/.test(name)) return "images";
  if (schema.type === "array" && schema.items?.properties?.path) return "loras";
  return "json";
}

function sidesOf(options: Schema[]): Field["sides"] {
  const width = options.find((one) => one.properties?.width)!.properties!.width!;
  const [low, high] = [width.minimum ?? 1, width.maximum ?? 2048];
  return low < high ? { low, high } : null;
}

// The schema that a reference names, with what is said beside the reference; so down to the items of lists.
function resolved(schema: Schema, schemas: Record<string, Schema>): Schema {
  if (schema.$ref) {
    const { $ref, ...beside } = schema;
    return { ...resolved(schemas[$ref.split("/").at(-1)!]!, schemas), ...beside };
  }
  return schema.items ? { ...schema, items: resolved(schema.items, schemas) } : schema;
}
