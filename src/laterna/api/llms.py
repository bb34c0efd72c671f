"""This server told to a coding assistant, in plain Markdown (llmstxt.org): `/llms.txt`, and a text for each endpoint.

Open to all, like the catalogue that it is made from. Neighbour: `llms_model`, which writes of one endpoint.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from laterna.api.hosts import origin_of
from laterna.api.llms_model import address_of, model_text
from laterna.api.replicate_models import name_of
from laterna.api.services import Services
from laterna.catalog.card import Card, Endpoint

START = """\
# Laterna

> Generative models behind one durable queue at {site}, in the protocols of fal, Replicate and, for images, OpenAI.
> Their official clients work as they stand; only address and key are this server's.

Every call needs a key: `Authorization: Key $FAL_KEY` (`Bearer` works as well). What is accepted is never lost: a
request is on disk before its id is answered.

## Reaching it

On the server's own machine `laterna exec -- COMMAND` sets addresses, key and certificates for one process, and
`eval "$(laterna env)"` for a shell. Elsewhere set:

```sh
export FAL_KEY=...   # a key of this server
export LATERNA_URL={site}
export OPENAI_BASE_URL={site}/openai/v1 OPENAI_API_KEY=$FAL_KEY
export REPLICATE_BASE_URL={site}/replicate REPLICATE_API_TOKEN=$FAL_KEY
```

Python, `pip install fal-client` (it always speaks TLS: run it by `laterna exec -- python app.py`):

```python
import fal_client

result = fal_client.subscribe("{model}", {{"prompt": "{prompt}"}})
print(result["images"][0]["url"])
```

JavaScript, `npm install @fal-ai/client`:

```js
import {{ createFalClient }} from "@fal-ai/client";

const {{ LATERNA_URL, FAL_KEY }} = process.env;
const proxyUrl = {{ url: `${{LATERNA_URL}}/api/fal/proxy`, when: "always" }};
const fal = createFalClient({{ credentials: FAL_KEY, proxyUrl }});
const {{ data }} = await fal.subscribe("{model}", {{ input: {{ prompt: "{prompt}" }} }});
```

OpenAI's client, `pip install openai`, where fields that OpenAI does not have go into `extra_body`:

```python
from openai import OpenAI

made = OpenAI().images.generate(model="{model}", prompt="{prompt}", response_format="url")
```

Replicate's client, `pip install replicate`: `replicate.run("{replicate}", input={{"prompt": "{prompt}"}})`.

Plain HTTP, waiting for the result:

```sh
curl {site}/{model} -H "Authorization: Key $FAL_KEY" -H "Content-Type: application/json" -d '{{"prompt": "{prompt}"}}'
```

## The queue

- `POST {site}/queue/ENDPOINT` with the input as JSON: answers `request_id`, `status_url`, `response_url`, `cancel_url`
- `GET status_url`: `status` is `IN_QUEUE`, `IN_PROGRESS` or `COMPLETED`; `?logs=1` adds the log
- `GET response_url`: the output, once it is `COMPLETED`
- `PUT cancel_url`: takes effect at the next step
- `POST {site}/queue/ENDPOINT?fal_webhook=URL`: the URL is told when it is over, signed
- `POST {site}/ENDPOINT/stream`: server-sent events with previews, then the output
- Files for inputs: a public URL, a data URI, or an upload by the client's own `upload` (`fal_client.upload_file`)
- Errors: 401 no good key, 403 a key that may not, 402 the budget is spent, 422 a wrong field, named in `detail[].loc`,
  429 too many at once, 503 nothing can run now; 429 and 503 say when to try again in `Retry-After`

## Models
"""
END = """
## More

- [OpenAPI of an endpoint]({site}/api/openapi/queue/openapi.json?endpoint_id={model}): change `endpoint_id`
- [The catalogue as JSON]({site}/platform/v1/models)
- [Prices as JSON]({site}/platform/v1/models/pricing)
"""


class Llms:
    """`/llms.txt` and `/models/{endpoint}/llms.txt`"""

    def __init__(self, services: Services) -> None:
        self._catalog = services.catalog

    def routes(self) -> list[Route]:
        return [
            Route("/llms.txt", self.server, methods=["GET"]),
            Route("/models/{endpoint:path}/llms.txt", self.model, methods=["GET"]),
        ]

    async def server(self, request: Request) -> Response:
        """How this server is called, and with what models."""
        found = [(card, end) for card in self._catalog.cards() for end in card.endpoints]
        return PlainTextResponse(server_text(found, origin_of(request).site))

    async def model(self, request: Request) -> Response:
        """One endpoint's input, output and call. Raises EndpointNotFound."""
        card, endpoint = self._catalog.endpoint(request.path_params["endpoint"])
        return PlainTextResponse(model_text(card, endpoint, origin_of(request)))


def server_text(found: list[tuple[Card, Endpoint]], site: str) -> str:
    """The overview, its examples with the first model that needs no download, if there is one."""
    ours = [(card, end) for card, end in found if card.weights.startswith("builtin:")] or found
    model = ours[0][1].id(ours[0][0]) if ours else "OWNER/NAME"
    values = {
        "site": site,
        "model": model,
        "replicate": name_of(model),
        "prompt": "a red fox on a teal background",
    }
    lines = [
        f"- [{card.name}]({address_of(end.id(card), site)}): `{end.id(card)}`, {end.category}. {card.description}\n"
        for card, end in found
    ]
    return START.format(**values) + "\n" + "".join(lines) + END.format(**values)
