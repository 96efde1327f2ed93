"""The PromQL table: nothing in a label can break out of it, and the window fits the scrape interval."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import PrometheusLabels
from milvus_tuning.clients.prometheus import LARGEST_REPLY_BYTES
from milvus_tuning.observe import queries
from milvus_tuning.observe.queries import Query, Selectors, selectors, window_seconds

LABELS = PrometheusLabels()
QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')


def _selectors(
    *, namespace: str = "milvus", matchers: dict[str, str] | None = None, pods: tuple[str, ...]
) -> Selectors:
    return selectors(namespace, LABELS, matchers or {}, nodes=pods, proxies=(), coordinators=())


def test_exactly_the_pods_are_asked_for_with_the_users_own_labels() -> None:
    found = _selectors(pods=("b-1", "a.0"), matchers={"cluster": "eu-1"})
    assert found.nodes == r'namespace="milvus",cluster="eu-1",pod=~"a\\.0|b\\-1",pod!=""'


def test_no_pods_match_no_series() -> None:
    assert _selectors(pods=()).nodes == 'namespace="milvus",pod=~"^$",pod!=""'


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_leaves_its_quotes(namespace: str, value: str) -> None:
    text = _selectors(namespace=namespace, matchers={"x": value}, pods=("p",)).nodes
    assert QUOTED.sub('""', text) == 'namespace="",x="",pod=~"",pod!=""'


OF_PODS = [query for query in queries.QUERIES if query is not queries.LINK_SPEED]


@pytest.mark.parametrize("query", OF_PODS, ids=lambda query: str(query.name))
def test_each_expression_is_complete_and_about_this_cluster_only(query: Query) -> None:
    expression = query.expression(_selectors(pods=("p",)), 30)
    bare = QUOTED.sub('""', expression)
    assert "$" not in bare
    assert bare.count("(") == bare.count(")")
    assert bare.count("{") == expression.count('namespace="milvus"')


@pytest.mark.parametrize(
    ("matchers", "own"),
    [
        pytest.param({}, "", id="without matchers of the user's own"),
        pytest.param({"cluster": "eu-1", "az": "a"}, 'az="a",cluster="eu-1"', id="with matchers"),
    ],
)
def test_the_speed_of_links_is_asked_by_machine_with_the_users_matchers_first(
    matchers: dict[str, str], own: str
) -> None:
    expression = queries.LINK_SPEED.expression(_selectors(pods=("p",), matchers=matchers), 30)
    first, second = expression.split(" or ")
    assert (first.count(f",{own}}}"), second.count("cluster"), second.count("az=")) == (2, 0, 0)
    assert "namespace" not in expression
    assert expression.count('device!~"lo|veth') == QUOTED.sub("", expression).count("{") == 4


def test_names_of_queries_are_unique() -> None:
    names = [query.name for query in queries.QUERIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("samples", "seconds"),
    [
        pytest.param(60.0, 30, id="scraped every 2 s"),
        pytest.param(8.0, 60, id="every 15 s"),
        pytest.param(4.0, 120, id="every 30 s"),
        pytest.param(2.0, 240, id="every minute"),
        pytest.param(1.0, 300, id="every two minutes"),
        pytest.param(None, 300, id="unknown"),
        pytest.param(0.0, 300, id="none"),
    ],
)
def test_the_window_holds_four_scrapes(samples: float | None, seconds: int) -> None:
    assert window_seconds(samples) == seconds


SUMMED = [query for query in queries.QUERIES if "sum" in query.template]
RATIOS = (
    queries.MEAN_LATENCY,
    queries.QUEUE_LATENCY,
    queries.NETWORK_SHARE,
)  # both parts double together, and the quotient stays


@pytest.mark.parametrize("query", [query for query in SUMMED if query not in RATIOS], ids=lambda query: str(query.name))
def test_each_sum_is_over_a_maximum_so_that_two_prometheis_count_once(query: Query) -> None:
    sums = re.findall(r"\bsum(?: by \([^)]*\) )?\((?!max by)", query.template.replace(" (", "("))
    assert (sums, query.template.count("max by") > 0) == ([], True)


ABOVE_USUAL = (queries.INDEX_BUILDS, queries.COMPACTIONS, queries.IMPORTS)


@pytest.mark.parametrize("query", ABOVE_USUAL, ids=lambda query: str(query.name))
def test_a_count_that_freezes_is_above_that_of_the_hours_before_the_last(query: Query) -> None:
    count, _, usual = query.template.partition(" - ")
    assert usual == f"(min_over_time(({count})[6h:10m] offset 1h) or vector(0))"


def test_searches_by_node_are_counted_once_each_and_only_where_milvus_tells_the_collection() -> None:
    expression = queries.NODE_COLLECTION_SEARCHES.expression(_selectors(pods=("p",)), 30)
    matchers = {'scope="FromLeader"', 'status="total"', 'collection_id!=""', 'query_type=~"search|hybrid_search"'}
    assert matchers <= set(re.split(r"[{},]", expression))


def test_the_reply_about_searches_by_node_is_bounded() -> None:
    series = len('{"metric":{"pod":"","collection_id":""},"value":[1795416887.9,"0.12345678901234567"]},') + 63 + 19
    assert queries.MOST_NODE_SEARCHES * series < LARGEST_REPLY_BYTES
    assert queries.NODE_COLLECTION_SEARCHES.template.startswith(f"topk({queries.MOST_NODE_SEARCHES}, ")
