// The official Replicate JavaScript client, unmodified: its address and key are given; prints one JSON object.
import Replicate from "replicate";

const baseUrl = `${process.env.REPLICATE_BASE_URL}/v1`;
const replicate = new Replicate({ baseUrl });
const out = {};
const input = (more) => ({ input: { prompt: "a", num_inference_steps: 5, ...more } });
const bytes = async (file) => [...new Uint8Array(await (await file.blob()).arrayBuffer())].slice(0, 4);

const files = await replicate.run("test/blank", input({ num_images: 2 }));
out.urls = files.map((file) => file.url().protocol);
out.files = await Promise.all(files.map(bytes));

const progress = [];
const polled = await replicate.run("test/slow", { ...input({}), wait: { mode: "poll", interval: 50 } }, (prediction) =>
  progress.push(prediction.status),
);
out.progress = progress;
out.polled = polled.length;

const names = [];
for await (const event of replicate.stream("test/slow", input({}))) names.push(event.event);
out.stream = names;

const made = await replicate.predictions.create({ model: "test/slow", ...input({ num_inference_steps: 50 }) });
out.cancelled = (await replicate.predictions.cancel(made.id)).status;
out.listed = (await replicate.predictions.list()).results.some((one) => one.id === made.id);

const version = (await replicate.models.get("test", "blank")).latest_version.id;
out.version = (await replicate.predictions.create({ version, ...input({}) })).version === version;
out.search = (await replicate.models.search("slowly asked")).results.map((model) => model.name);

const kept = await replicate.files.create(new Blob(["hello"]), { filename: "a.txt", metadata: { a: 1 } });
out.file = (await replicate.files.get(kept.id)).size;
out.account = (await replicate.accounts.current()).username;

const failed = (work) =>
  work.then(() => "a result").catch((error) => ({ name: error.name, status: error.response?.status, text: error.message }));
out.invalid = await failed(replicate.run("test/blank", input({ num_images: 1000 })));
out.unauthorized = await failed(new Replicate({ auth: "wrong", baseUrl }).run("test/blank", input({})));

console.log(JSON.stringify(out));
