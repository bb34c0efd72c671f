"""Replicate's API, its predictions: created, waited for, followed, listed and cancelled by Replicate's own clients.

The same requests behind it as behind fal's queue. Neighbours: `replicate_catalog` for models, `replicate_files`,
`replicate_stream`. Trainings, deployments and collections are not served: they are refused by name.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.admission import read_posted, submit, withdraw
from laterna.api.callers import caller_of, stream_token
from laterna.api.hosts import origin_of
from laterna.api.replicate_asked import PredictionAsked, read_prediction
from laterna.api.replicate_models import Found, Models
from laterna.api.replicate_views import (
    BASE,
    STARTING,
    Prediction,
    file_data,
    file_urls,
    log_text,
    makes_list,
    prediction_body,
)
from laterna.api.services import Services
from laterna.errors import AlreadyCompleted, InvalidInput, Problem
from laterna.requests.requests import RequestView
from laterna.requests.wait import until_settled
from laterna.tenants.caller import READ, Caller
from laterna.tenants.tokens import LONGEST_SECONDS

CANCEL_SECONDS = 5  # that a cancel waits for the request to end, so that its answer can say so
PAGE = 50  # predictions


class Replicate:
    """`/replicate/v1/predictions` and `/replicate/v1/models/{owner}/{name}/predictions`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._models = Models(services.catalog)

    def routes(self) -> list[Route]:
        one = f"{BASE}/predictions/{{prediction}}"
        return [
            Route(f"{BASE}/predictions", self.create, methods=["POST"]),
            Route(f"{BASE}/predictions", self.list, methods=["GET"]),
            Route(one, self.get, methods=["GET"]),
            Route(f"{one}/cancel", self.cancel, methods=["POST"]),
            Route(f"{BASE}/models/{{model:path}}/predictions", self.create_by_model, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """Run the version that the body names."""
        caller = await caller_of(request, self._services)
        asked = read_prediction(request, await read_posted(request, self._services))
        if asked.version is None:
            why = "name the version to run: its id, owner/name or owner/name:id"
            raise InvalidInput(Problem(loc=("body", "version"), msg=why, type="missing"))
        return await self._run(request, caller, self._models.version(asked.version), asked)

    async def create_by_model(self, request: Request) -> Response:
        """Run the model that the address names."""
        caller = await caller_of(request, self._services)
        found = self._models.named(request.path_params["model"])
        return await self._run(
            request, caller, found, read_prediction(request, await read_posted(request, self._services))
        )

    async def get(self, request: Request) -> Response:
        """The prediction as it is now."""
        caller = await caller_of(request, self._services, scope=READ)
        view = await self._services.requests.get(caller.tenant, request.path_params["prediction"])
        return JSONResponse(await self._body(request, caller, view))

    async def list(self, request: Request) -> Response:
        """The tenant's predictions, newest first; those of fal's and OpenAI's clients too."""
        caller = await caller_of(request, self._services, scope=READ)
        page = await self._services.requests.page(caller.tenant, request.query_params.get("cursor"), PAGE)
        site, after = origin_of(request).site, None
        if page.cursor is not None:
            after = f"{site}{BASE}/predictions?cursor={quote(page.cursor)}"
        results = [await self._entry(request, caller, view.request_id) for view in page.items]
        return JSONResponse({"previous": None, "next": after, "results": results})

    async def cancel(self, request: Request) -> Response:
        """End it; one that has ended stays as it is."""
        caller, prediction = await caller_of(request, self._services), request.path_params["prediction"]
        with suppress(AlreadyCompleted):
            await withdraw(self._services, caller.tenant, prediction)
        view = await self._waited(caller, prediction, CANCEL_SECONDS)
        return JSONResponse(await self._body(request, caller, view))

    async def _run(self, request: Request, caller: Caller, found: Found, asked: PredictionAsked) -> Response:
        card, endpoint = found
        try:
            admitted = await submit(
                request, self._services, caller, endpoint.id(card), asked.input, dialect="replicate", asked=asked.asked
            )
        except InvalidInput as error:
            raise _in_input(error) from error
        view = await self._waited(caller, admitted.receipt.request_id, asked.wait_s)
        body = await self._body(request, caller, view)
        if asked.wait_s and not view.settled:
            body["status"] = STARTING  # the clients take anything else for the end
        return JSONResponse(body, 201, admitted.headers)

    async def _waited(self, caller: Caller, request_id: str, seconds: float) -> RequestView:
        """The request once it is settled, or as it is when so many seconds have passed."""
        services = self._services
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await until_settled(services.requests, services.board, caller.tenant, request_id)
        return await services.requests.get(caller.tenant, request_id)

    async def _body(self, request: Request, caller: Caller, view: RequestView) -> dict[str, Any]:
        services, origin = self._services, origin_of(request)
        progress = None if view.settled else services.progress(view.request_id)
        told = Prediction(
            view=view,
            input=await services.requests.raw_input(caller.tenant, view.request_id),
            output=await file_data(view, services, origin.cdn),
            several=makes_list(view, services.catalog),
            logs=log_text(await services.requests.logs(caller.tenant, view.request_id), progress),
        )
        token = stream_token(services, caller, view.request_id, LONGEST_SECONDS)
        stream = f"{origin.site}{BASE}/predictions/{view.request_id}/stream?token={token}"
        return prediction_body(told, origin.site, stream)

    async def _entry(self, request: Request, caller: Caller, request_id: str) -> dict[str, Any]:
        """One of a list: without its log, and with addresses alone."""
        requests, origin = self._services.requests, origin_of(request)
        view = await requests.get(caller.tenant, request_id)
        given = await requests.raw_input(caller.tenant, request_id)
        output = file_urls(view, origin.cdn)
        told = Prediction(
            view=view, input=given, output=output, several=makes_list(view, self._services.catalog), logs=""
        )
        return prediction_body(told, origin.site)


def _in_input(error: InvalidInput) -> InvalidInput:
    """The same problems, with fields where Replicate's clients sent them: below `input`."""
    return InvalidInput(*(_below_input(problem) for problem in error.problems))


def _below_input(problem: Problem) -> Problem:
    where, *path = problem.loc
    if where != "body":
        return problem
    loc = ("body", "input", *path)
    return Problem(loc=loc, msg=problem.msg, type=problem.type, input=problem.input, ctx=problem.ctx)
