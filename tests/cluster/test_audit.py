"""Reading an audit log as a real API server leaves it."""

import json
from pathlib import Path

from tests.cluster.audit import Request, requests

PATCH = {
    "stage": "ResponseComplete",
    "verb": "patch",
    "user": {"username": "ada"},
    "userAgent": "kubectl/v1.34",
    "objectRef": {"namespace": "milvus", "resource": "deployments", "subresource": "scale", "name": "querynode"},
    "responseStatus": {"code": 200},
}
NOBODY = {"stage": "ResponseComplete", "verb": "patch", "user": {}, "responseStatus": {"code": 401}}
BEGUN = PATCH | {"stage": "RequestReceived"}


def test_a_request_of_nobody_and_a_torn_line_do_not_hide_the_others(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text("".join(f"{json.dumps(event)}\n" for event in (NOBODY, BEGUN, PATCH)) + '{"stage": "Resp')
    nobody, ada = requests(log)
    assert (nobody.user, nobody.name, nobody.succeeded) == ("", "", False)
    assert ada.succeeded
    assert ada == Request(
        verb="patch",
        user="ada",
        agent="kubectl/v1.34",
        namespace="milvus",
        resource="deployments",
        subresource="scale",
        name="querynode",
        code=200,
    )


def test_the_requests_of_a_namespace_are_those_on_its_objects(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    about = [{"namespace": "milvus"}, {"namespace": "milvus-2"}, {"namespace": "other", "name": "milvus"}]
    events = [PATCH | {"objectRef": one} for one in about]
    log.write_text("".join(f"{json.dumps(event)}\n" for event in (NOBODY, *events)))
    assert [one.namespace for one in requests(log, namespace="milvus")] == ["milvus"]
