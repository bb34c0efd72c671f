// The official fal JavaScript client's realtime, unmodified, through the intercepting proxy: prints one JSON object.
import { fal } from "@fal-ai/client";

const out = { results: [], errors: [] };
const tokens = [];
const tokenProvider = async (app) => {
  tokens.push(app);
  const answer = await fetch(`${process.env.LATERNA_URL}/rest/tokens/realtime`, {
    method: "POST",
    headers: { Authorization: `Key ${process.env.FAL_KEY}` },
    body: JSON.stringify({ allowed_apps: [app], token_expiration: 120 }),
  });
  return answer.json();
};

await new Promise((done) => {
  const connection = fal.realtime.connect("test/slow", {
    tokenProvider,
    tokenExpirationSeconds: 120,
    throttleInterval: 0,
    onResult: (result) => {
      out.results.push([result.seed, [...result.images[0].content.subarray(0, 4)]]);
      if (out.results.length < 2) connection.send({ prompt: "a", seed: 2, num_inference_steps: 2 });
      else connection.send({ prompt: 7 });
    },
    onError: (error) => {
      out.errors.push(error.body?.error ?? error.message);
      connection.close();
      done();
    },
  });
  connection.send({ prompt: "a", seed: 1, num_inference_steps: 2 });
});
out.tokens = tokens;

console.log(JSON.stringify(out));
process.exit(0);
