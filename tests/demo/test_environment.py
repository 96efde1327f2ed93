"""The road to a kind cluster, with stand-ins for its four tools that write down how they were called."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster.images.progress import CommandError
from tests.demo import environment
from tests.demo.environment import DemoError
from tests.demo.operator_install import REPO

TOOLS = ("docker", "kind", "kubectl", "helm")
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $* [$KUBECONFIG]" >> "{log}"
case "$1 $2" in "get clusters") echo "{clusters}" ;; esac
case "$*" in *"{broken}"*) echo "it went wrong" >&2; exit 3 ;; esac
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an image that needs no build, and a Milvus that is forwarded at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "the-users-own"))
    monkeypatch.setattr(environment, "build_operator_image", lambda _: tmp_path / "operator-image-1" / "image.tar")
    monkeypatch.setattr(environment, "_forwarded", a_forward)
    return tmp_path / "cache" / "milvus-tuning-operator"


@contextmanager
def a_forward(_: Path) -> Iterator[str]:
    yield "http://127.0.0.1:1"


def stand_ins(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    tools: tuple[str, ...] = TOOLS,
    clusters: str = "",
    broken: str = "nothing is",
) -> Path:
    """Put the tools, and nothing else but what a shell needs, in the PATH; returns the file they write to."""
    binaries, log = folder / "bin", folder / "calls"
    binaries.mkdir()
    log.touch()
    for tool in tools:
        (binaries / tool).write_text(STAND_IN.format(log=log, clusters=clusters, broken=broken))
        (binaries / tool).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return log


def set_up() -> environment.Stage:
    with environment.kind() as stage:
        return stage


def test_a_cluster_is_made_then_filled_in_the_order_of_need(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = stand_ins(tmp_path, monkeypatch)
    stage = set_up()
    calls = log.read_text().splitlines()
    expected = (
        ("kind get clusters",),
        ("kind create cluster", "--config", "kind-config.yaml"),
        ("kind load image-archive", "operator-image-1/image.tar"),
        ("kubectl", "apply -f", "demo-kind/prometheus.yaml"),
        ("helm upgrade --install my-release milvus", "--version 4.2.45", "demo-kind/milvus-values.yaml"),
        ("kubectl", "--namespace milvus patch deployment/my-release-milvus-querynode", "querynode-patch.yaml"),
        ("kubectl", "rollout status deployment/my-release-milvus-querynode"),
        ("helm upgrade --install milvus-tuning-operator", "podAnnotations.milvustuning\\.io/image=operator-image-1"),
    )
    assert len(calls) == len(expected)
    for call, parts in zip(calls, expected, strict=True):
        assert [part for part in parts if part not in call] == [], call
    assert stage == environment.Stage(kubeconfig=cache / "kind-kubeconfig", uri="http://127.0.0.1:1")


def test_no_command_sees_the_users_own_kubeconfig(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = stand_ins(tmp_path, monkeypatch)
    set_up()
    environment.kind_down()
    own = cache / "kind-kubeconfig"
    for call in log.read_text().splitlines():
        assert call.endswith(f"[{own}]")
        assert f"--kubeconfig {own}" in call or call.startswith(("kind get", "kind load"))


def test_a_cluster_that_is_there_is_used_again(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del cache
    log = stand_ins(tmp_path, monkeypatch, clusters=environment.KIND_NAME)
    set_up()
    assert "kind create" not in log.read_text()


def test_missing_tools_are_named_in_one_line(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del cache
    stand_ins(tmp_path, monkeypatch, tools=("kubectl",))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DemoError) as caught:
        set_up()
    assert str(caught.value) == "CLUSTER=kind needs docker, kind, helm in PATH; CLUSTER=embedded needs none of them"
    with pytest.raises(DemoError, match=r"needs docker, kind in PATH"):
        environment.kind_down()


def test_a_command_that_fails_is_shown_with_what_it_said(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    log = stand_ins(tmp_path, monkeypatch, broken="--install my-release")
    with pytest.raises(DemoError, match=r"(?s)helm upgrade --install my-release .*it went wrong"):
        set_up()
    assert "patch" not in log.read_text()


def test_an_image_that_cannot_be_built_is_a_plain_message(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    stand_ins(tmp_path, monkeypatch)

    def fail(_: Path) -> Path:
        raise CommandError("docker build ended with 1")

    monkeypatch.setattr(environment, "build_operator_image", fail)
    with pytest.raises(DemoError, match="could not be built: docker build ended with 1"):
        set_up()


def test_the_kind_cluster_has_several_workers() -> None:
    config = yaml.safe_load((REPO / "kind-config.yaml").read_text())
    roles = [node["role"] for node in config["nodes"]]
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert (roles.count("control-plane"), roles.count("worker") >= 2) == (1, True)
