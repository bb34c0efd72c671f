// The official JavaScript client, unmodified, against a server whose address and key are given: prints one JSON object.
import { createFalClient } from "@fal-ai/client";

const { LATERNA_URL: base, FAL_KEY: credentials } = process.env;
const out = {};

const proxied = createFalClient({ credentials, proxyUrl: { url: `${base}/api/fal/proxy`, when: "always" } });
const mapped = createFalClient({
  credentials,
  requestMiddleware: async (request) => ({
    ...request,
    url: request.url
      .replace("https://queue.fal.run", `${base}/queue`)
      .replace("https://rest.fal.ai", `${base}/rest`)
      .replace("https://rest.alpha.fal.ai", `${base}/rest`)
      .replace("https://fal.run", base),
  }),
});

const input = (more) => ({ input: { prompt: "a", num_inference_steps: 6, ...more } });

out.run = await proxied.run("test/blank", input({ seed: 5 }));

const updates = [];
out.subscribe = await proxied.subscribe("test/slow", {
  ...input({ seed: 6 }),
  logs: true,
  pollInterval: 50,
  onQueueUpdate: (update) => updates.push(update.status),
});
out.updates = updates;

const streamed = [];
out.streamingSubscribe = await mapped.subscribe("test/slow", {
  ...input({ seed: 7 }),
  mode: "streaming",
  onQueueUpdate: (update) => streamed.push(update.status),
});
out.streamed = streamed;

const submitted = await mapped.queue.submit("test/slow", input({ num_inference_steps: 50 }));
out.status = (await mapped.queue.status("test/slow", { requestId: submitted.request_id, logs: true })).status;
await mapped.queue.cancel("test/slow", { requestId: submitted.request_id });
for (let tries = 0; tries < 100; tries++) {
  const state = await mapped.queue.status("test/slow", { requestId: submitted.request_id });
  if (state.status === "COMPLETED") break;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
out.cancelled = await mapped.queue
  .result("test/slow", { requestId: submitted.request_id })
  .then(() => "a result")
  .catch((error) => ({ status: error.status, message: error.message }));

const stream = await mapped.stream("test/slow", input({ num_inference_steps: 12 }));
let events = 0;
for await (const event of stream) events += 1;
out.events = events;
out.done = await stream.done();

out.upload = await proxied.storage.upload(new Blob([new Uint8Array([1, 2, 3])], { type: "image/png" }));
out.downloaded = [...new Uint8Array(await (await fetch(out.upload.replace(/^https:\/\/[^/]+/, base))).arrayBuffer())];

out.invalid = await mapped
  .run("test/blank", { input: { prompt: 7 } })
  .then(() => "a result")
  .catch((error) => ({ name: error.name, status: error.status, fields: error.fieldErrors?.map((field) => field.loc) }));

out.unauthorized = await createFalClient({ credentials: "wrong", proxyUrl: { url: `${base}/api/fal/proxy`, when: "always" } })
  .run("test/blank", input({}))
  .then(() => "a result")
  .catch((error) => ({ status: error.status, message: error.message }));

console.log(JSON.stringify(out));
