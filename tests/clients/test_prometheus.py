"""The Prometheus client keeps to the host it was given, and turns every trouble into words."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from milvus_tuning.clients import prometheus
from milvus_tuning.clients.prometheus import PrometheusClient, PrometheusError, PrometheusFailure, Series
from tests.clients.http_server import Asked, Reply, a_server


def _vector(*elements: tuple[dict[str, str], str]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in elements]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def _always(reply: Reply) -> Callable[[Asked], Reply]:
    return lambda _: reply


def test_a_vector_becomes_series_and_nan_is_missing() -> None:
    vector = _vector(({"pod": "a"}, "1.5"), ({"pod": "b"}, "NaN"), ({"pod": "c"}, "+Inf"))
    with a_server(_always(Reply(body=vector))) as (url, _):
        found = PrometheusClient(url).query("up")
    assert found == (
        Series(labels={"pod": "a"}, value=1.5),
        Series(labels={"pod": "b"}, value=None),
        Series(labels={"pod": "c"}, value=None),
    )


def test_the_expression_travels_in_the_body_and_partial_answers_are_declined() -> None:
    with a_server(_always(Reply(body=_vector()))) as (url, asked):
        PrometheusClient(f"{url}/prefix/").query('up{pod=~"a|b"}')
    request = asked[0]
    assert (request.method, request.path, request.query) == ("POST", "/prefix/api/v1/query", "")
    assert parse_qs(request.body) == {
        "query": ['up{pod=~"a|b"}'],
        "timeout": ["5s"],
        "partial_response": ["false"],
    }


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        pytest.param("user:pass:word", "Basic dXNlcjpwYXNzOndvcmQ=", id="name and password"),
        pytest.param("eyJhbGciOi.x.y", "Bearer eyJhbGciOi.x.y", id="token"),
        pytest.param(None, None, id="none"),
    ],
)
def test_credentials_become_a_header(credentials: str | None, header: str | None) -> None:
    with a_server(_always(Reply(body=_vector()))) as (url, asked):
        PrometheusClient(url, credentials=credentials).query("up")
    assert asked[0].headers.get("Authorization") == header


def test_a_redirect_is_not_followed_so_that_credentials_stay_at_home() -> None:
    with a_server(_always(Reply(body=_vector()))) as (elsewhere, asked_elsewhere):
        redirect = Reply(status=307, headers={"Location": f"{elsewhere}/api/v1/query"})
        with a_server(_always(redirect)) as (url, _), pytest.raises(PrometheusError, match="not followed"):
            PrometheusClient(url, credentials="user:secret").query("up")
    assert asked_elsewhere == []


def test_neither_proxy_nor_netrc_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stray password stray\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with a_server(_always(Reply(body=_vector()))) as (url, asked):
        PrometheusClient(url).query("up")
    assert "Authorization" not in asked[0].headers


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        pytest.param(Reply(status=401), PrometheusFailure.CREDENTIALS_REJECTED, id="401"),
        pytest.param(Reply(status=403), PrometheusFailure.CREDENTIALS_REJECTED, id="403"),
        pytest.param(Reply(status=400, body={"error": "bad"}), PrometheusFailure.REFUSED, id="bad query"),
        pytest.param(Reply(status=422, body={"error": "timed out"}), PrometheusFailure.REFUSED, id="query timed out"),
        pytest.param(Reply(status=503, body="overloaded"), PrometheusFailure.UNREACHABLE, id="overloaded"),
        pytest.param(Reply(status=200, body="<html>"), PrometheusFailure.REFUSED, id="no JSON"),
        pytest.param(Reply(status=200, body={"ok": True}), PrometheusFailure.REFUSED, id="another API"),
        pytest.param(Reply(status=200, body=["up"]), PrometheusFailure.REFUSED, id="a list"),
    ],
)
def test_a_bad_reply_is_an_error_of_its_kind(reply: Reply, failure: PrometheusFailure) -> None:
    with a_server(_always(reply)) as (url, _), pytest.raises(PrometheusError) as caught:
        PrometheusClient(url).query("up")
    assert caught.value.failure is failure


def test_nobody_listening_is_unreachable() -> None:
    with a_server(_always(Reply())) as (url, _):
        pass
    with pytest.raises(PrometheusError, match="does not answer") as caught:
        PrometheusClient(url).query("up")
    assert caught.value.failure is PrometheusFailure.UNREACHABLE


def test_a_reply_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "LARGEST_REPLY_BYTES", 1000)
    big = json.dumps(_vector(*[({"pod": f"pod-{index}"}, "1") for index in range(100)]))
    with a_server(_always(Reply(body=big))) as (url, _), pytest.raises(PrometheusError, match="more than 1000 bytes"):
        PrometheusClient(url).query("up")
