"""`config render`: what a policy declares as keys, in each form, and read back by `config lint` without a finding."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, EXIT_USAGE

POLICY = """
apiVersion: milvustuning.io/v1alpha1
kind: MilvusTuning
metadata: {name: rag}
spec:
  targetRef: {kind: HelmRelease, name: my-release}
  loadBalancing: {balanceIntervalSeconds: 60, routing: LeastLoaded, placementOwner: Milvus, overloadedMemoryPercent: 85}
  network: {compression: Enabled}
  configOverrides: {"queryCoord.taskExecutionCap": "128", "queryCoord.autoBalence": "true"}
---
kind: Service
"""
CONFIG = {
    "queryCoord": {"autoBalanceInterval": 60000, "taskExecutionCap": 128},
    "proxy": {"replicaSelectionPolicy": "look_aside"},
    "grpc": {"client": {"compressionEnabled": True}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rag.yaml").write_text(POLICY)
    return tmp_path


def render(*arguments: str) -> int:
    return main(["config", "render", "--milvus-version", "2.5.27", *arguments])


def test_a_milvus_object_gets_its_tree_with_what_is_to_be_known(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render("rag.yaml") == EXIT_OK
    out = capsys.readouterr().out
    assert yaml.safe_load(out) == {"spec": {"config": CONFIG}}
    told = [line.strip() for line in out.splitlines() if "#" in line]
    assert "autoBalanceInterval: 60000  # loadBalancing.balanceIntervalSeconds" in told
    restart = "replicaSelectionPolicy: look_aside  # loadBalancing.routing; acts after a restart of Proxy"
    assert restart in told
    left = {line.split(" ")[3]: line for line in told if line.startswith("# Not rendered")}
    assert set(left) == {
        "loadBalancing.placementOwner",
        "loadBalancing.overloadedMemoryPercent",
        "configOverrides.queryCoord.autoBalence",
    }
    assert "queryCoord.autoBalance" in left["configOverrides.queryCoord.autoBalence"]
    assert "within two minutes" in told[0]


def test_helm_values_and_milvus_yaml_hold_the_same_keys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render("--as", "helm-values", "rag.yaml") == EXIT_OK
    values = capsys.readouterr().out
    assert yaml.safe_load(yaml.safe_load(values)["extraConfigFiles"]["user.yaml"]) == CONFIG
    assert "at the next start" in values.splitlines()[0]
    assert render("--as", "milvus-yaml", "rag.yaml") == EXIT_OK
    assert yaml.safe_load(capsys.readouterr().out) == CONFIG


@pytest.mark.parametrize("form", ["milvus-cr", "helm-values", "milvus-yaml"])
def test_lint_finds_nothing_wrong_with_what_is_rendered(
    folder: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert render("--as", form, "rag.yaml") == EXIT_OK
    head = "kind: Milvus\n" if form == "milvus-cr" else ""
    (folder / "out.yaml").write_text(head + capsys.readouterr().out)
    assert main(["config", "lint", "--milvus-version", "2.5.27", "out.yaml"]) == EXIT_OK
    assert "4 keys" in capsys.readouterr().out


def test_a_policy_that_declares_nothing_gives_no_keys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rag.yaml").write_text(POLICY.partition("  loadBalancing")[0])
    assert render("rag.yaml") == EXIT_OK
    assert yaml.safe_load(capsys.readouterr().out) == {"spec": {"config": {}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Service\n", "has 0 manifests of kind MilvusTuning"),
        (f"{POLICY}---{POLICY}", "has 2 manifests"),
        ("kind: MilvusTuning\nspec: {mode: Auto}\n", "spec.targetRef: Field required"),
        ("a: [", "cannot read rag.yaml"),
    ],
    ids=["none", "two", "not valid", "no YAML"],
)
def test_what_cannot_be_read_is_said(folder: Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    (folder / "rag.yaml").write_text(text)
    assert render("rag.yaml") == EXIT_FAILURE
    assert words in capsys.readouterr().err


def test_wrong_usage_and_an_unknown_release(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "render", "--milvus-version", "1.1.0", "rag.yaml"]) == EXIT_FAILURE
    assert "not in the catalogue" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["config", "render", "rag.yaml"])
    assert ended.value.code == EXIT_USAGE
