// The official OpenAI JavaScript client, unmodified: its address and key are in the environment; prints one JSON object.
import OpenAI from "openai";

const client = new OpenAI();
const out = {};

const made = await client.images.generate({ model: "test/blank", prompt: "a", n: 2, size: "64x64", seed: 7 });
out.images = made.data.map((image) => [...Buffer.from(image.b64_json, "base64").subarray(0, 4)]);
out.seed = made.seed;

const events = [];
const asked = { model: "test/slow", prompt: "a", stream: true, partial_images: 2, num_inference_steps: 20 };
for await (const event of await client.images.generate(asked)) events.push(event.type);
out.events = events;

out.models = [];
for await (const model of client.models.list()) out.models.push(model.id);

const failed = (work) =>
  work.then(() => "a result").catch((error) => [error.constructor.name, error.param, error.code, Boolean(error.requestID)]);
out.errors = [
  await failed(client.images.generate({ model: "test/blank", prompt: "a", n: 1000 })),
  await failed(new OpenAI({ apiKey: "wrong" }).images.generate({ model: "test/blank", prompt: "a" })),
];

console.log(JSON.stringify(out));
