"""Headers and query parameters around an input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from laterna.api.asked import Asked, query_input, read_asked, truth
from laterna.api.lifecycle import Lifecycle
from laterna.errors import InvalidInput
from laterna.requests.access import Access


def request(query: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "query_string": query.encode(), "headers": raw})


def test_nothing_said() -> None:
    assert read_asked(request()) == Asked(
        cancel_within_s=None,
        priority=1, start_within_s=None, finish_within_s=None, webhook_url=None, max_queue_length=None,
        store_io=True, lifecycle=Lifecycle(), retries=None, once=False, runner_hint=None, tags={}, idempotency_key=None,
    )  # fmt: skip


def test_everything_said() -> None:
    said = request(
        "fal_webhook=https%3A%2F%2Fexample.com%2Fhook%3Fa%3D1&fal_max_queue_length=3",
        x_fal_queue_priority="low",
        x_fal_request_timeout="30.0",
        x_laterna_finish_within="90",
        x_fal_store_io="0",
        x_fal_object_lifecycle_preference='{"expiration_duration_seconds": 3600, "initial_acl": {"default": "hide"}}',
        x_fal_retry_config='{"timeout": {"retries": 1}, "server_error": {"retries": 0}}',
        x_fal_no_retry="yes",
        x_fal_runner_hint=" session-7 ",
        x_fal_tags="team=art, run=7",
        idempotency_key="abc",
    )
    assert read_asked(said) == Asked(
        priority=2, start_within_s=30.0, finish_within_s=90.0, cancel_within_s=None, webhook_url="https://example.com/hook?a=1",
        max_queue_length=3, store_io=False,
        lifecycle=Lifecycle(keep_seconds=3600, access=Access(default="hide")),
        retries={"timeout": 1, "server_error": 0}, once=True, runner_hint="session-7",
        tags={"team": "art", "run": "7"}, idempotency_key="abc",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "headers", "name"),
    [
        ("fal_webhook=ftp://example.com", {}, "fal_webhook"),
        ("fal_webhook=https://user@example.com", {}, "fal_webhook"),
        ("fal_webhook=example.com", {}, "fal_webhook"),
        ("fal_max_queue_length=-1", {}, "fal_max_queue_length"),
        ("fal_max_queue_length=1e9", {}, "fal_max_queue_length"),
        ("", {"x_fal_queue_priority": "high"}, "x-fal-queue-priority"),
        ("", {"x_fal_request_timeout": "soon"}, "x-fal-request-timeout"),
        ("", {"x_fal_request_timeout": "nan"}, "x-fal-request-timeout"),
        ("", {"x_fal_request_timeout": "-1"}, "x-fal-request-timeout"),
        ("", {"x_fal_request_timeout": "inf"}, "x-fal-request-timeout"),
        ("", {"x_laterna_finish_within": "0"}, "x-laterna-finish-within"),
        ("", {"x_fal_object_lifecycle_preference": "1h"}, "x-fal-object-lifecycle-preference"),
        (
            "",
            {"x_fal_object_lifecycle_preference": '{"expiration_duration_seconds": true}'},
            "expiration_duration_seconds",
        ),
        ("", {"x_fal_tags": ",".join(f"a{n}=1" for n in range(11))}, "x-fal-tags"),
        ("", {"x_fal_tags": "=1"}, "x-fal-tags"),
        ("", {"x_fal_retry_config": "[]"}, "x-fal-retry-config"),
        ("", {"x_fal_retry_config": '{"timeout": 3}'}, "x-fal-retry-config"),
        ("", {"x_fal_retry_config": '{"timeout": {"retries": 10}}'}, "x-fal-retry-config"),
        ("", {"x_fal_retry_config": '{"timeout": {"retries": -1}}'}, "x-fal-retry-config"),
        ("", {"x_fal_retry_config": '{"timeout": {"retries": true}}'}, "x-fal-retry-config"),
        ("", {"x_fal_retry_config": '{"boredom": {"retries": 1}}'}, "x-fal-retry-config"),
        ("", {"x_fal_object_lifecycle_preference": '{"initial_acl": "forbid"}'}, "initial_acl"),
        ("", {"x_fal_object_lifecycle_preference": '{"initial_acl": {"default": "maybe"}}'}, "initial_acl"),
        ("", {"x_fal_object_lifecycle_preference": '{"initial_acl": {"defualt": "hide"}}'}, "initial_acl"),
        ("", {"x_fal_object_lifecycle_preference": '{"initial_acl": {"rules": [{"user": "x"}]}}'}, "initial_acl"),
    ],
)
def test_what_cannot_be_read_is_named(query: str, headers: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_asked(request(query, **headers))
    assert caught.value.problems[0].loc[-1] == name


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40))
def test_any_header_is_read_or_named(text: str) -> None:
    names = ("x-fal-queue-priority", "x-fal-request-timeout", "x-fal-object-lifecycle-preference", "x-fal-tags")
    for name in (*names, "x-fal-retry-config"):
        raw = [(name.encode(), text.encode("latin-1"))]
        try:
            read_asked(Request({"type": "http", "method": "POST", "query_string": b"", "headers": raw}))
        except InvalidInput as error:
            problems = error.problems
            assert problems


def test_an_input_in_the_query() -> None:
    assert query_input(request("prompt=a%20fox&seed=3&fal_webhook=https://x.y")) == {"prompt": "a fox", "seed": "3"}


@pytest.mark.parametrize(
    ("text", "meant"), [("1", True), ("true", True), ("0", False), ("false", False), (None, False)]
)
def test_truth(text: str | None, meant: bool) -> None:
    assert truth(text) is meant
