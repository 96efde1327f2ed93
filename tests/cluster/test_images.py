"""Image archives, the cache, and the files inside the images: everything that needs no package registry."""

import io
import json
import os
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.images.archive import Image, write_archive, write_layer
from tests.cluster.images.catalogue import KAFKA, MILVUS, MILVUS_WHEEL, PROMETHEUS, render_template
from tests.cluster.images.files.merge import main as merge_files
from tests.cluster.images.files.merge import merged
from tests.cluster.images.store import built, cache_root, digest, forget_older

FILES = Path(__file__).parent / "images" / "files"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def a_layer(folder: Path, name: str, content: str = "hello") -> Path:
    """A layer with one file /NAME."""
    source = folder / f"{name}.txt"
    source.write_text(content)
    layer = folder / f"{name}.tar"
    write_layer(layer, {f"/{name}": source})
    return layer


def read_json(archive: tarfile.TarFile, name: str) -> Any:
    """A member of the archive, parsed."""
    member = archive.extractfile(name)
    assert member is not None
    return json.load(member)


def test_images_on_one_base_carry_it_once(tmp_path: Path) -> None:
    base, app = a_layer(tmp_path, "base"), a_layer(tmp_path, "app")
    target = tmp_path / "images.tar"
    write_archive(target, [Image(name="local/one:1", layers=(base, app)), Image(name="local/two:1", layers=(base,))])
    with tarfile.open(target) as archive:
        manifest = read_json(archive, "manifest.json")
        layers = [name for name in archive.getnames() if name.endswith(".tar")]
    assert [entry["RepoTags"] for entry in manifest] == [["local/one:1"], ["local/two:1"]]
    assert manifest[0]["Layers"][0] == manifest[1]["Layers"][0]
    assert sorted(layers) == sorted(set(manifest[0]["Layers"]))


def test_config_names_the_process_and_the_digests_of_the_layers(tmp_path: Path) -> None:
    image = Image(
        name="local/one:1", layers=(a_layer(tmp_path, "base"),), entrypoint=("/run",), env={"A": "1"}, user="7"
    )
    target = tmp_path / "images.tar"
    write_archive(target, [image])
    with tarfile.open(target) as archive:
        entry = read_json(archive, "manifest.json")[0]
        config = read_json(archive, entry["Config"])
    assert config["config"]["Entrypoint"] == ["/run"]
    assert "A=1" in config["config"]["Env"]
    assert config["config"]["User"] == "7"
    assert [f"{name.removeprefix('sha256:')}.tar" for name in config["rootfs"]["diff_ids"]] == entry["Layers"]


def test_a_layer_has_the_same_bytes_whenever_and_by_whomever_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = a_layer(tmp_path / "one", "app"), a_layer(tmp_path / "two", "app")
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(first.read_bytes())) as layer:
        member = layer.getmember("app")
    assert (member.uid, member.gid, member.mtime) == (0, 0, 0)


def test_an_entry_is_built_once_for_the_same_inputs(tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_text("one")
    builds: list[Path] = []
    first = built("thing", ["text", source], builds.append)
    assert built("thing", ["text", source], builds.append) == first
    source.write_text("two")
    assert built("thing", ["text", source], builds.append) != first
    assert len(builds) == 2


def test_a_failed_build_leaves_no_entry() -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        built("thing", ["text"], fail)
    assert not (cache_root() / f"thing-{digest(['text'])}").exists()
    assert (built("thing", ["text"], lambda folder: (folder / "f").touch()) / "f").exists()


def test_of_two_at_once_one_builds_and_the_other_waits() -> None:
    building, may_end = threading.Event(), threading.Event()
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        building.set()
        assert may_end.wait(5)

    threads = [threading.Thread(target=built, args=("thing", ["text"], build)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert building.wait(5)
    may_end.set()
    for thread in threads:
        thread.join(5)
    assert len(builds) == 1


def test_of_the_older_entries_of_a_name_the_newest_are_kept() -> None:
    entries = [built("thing", [str(number)], Path.touch) for number in range(4)]
    other = built("thing-else", ["1"], Path.touch)
    for age, entry in enumerate(reversed(entries)):
        os.utime(entry, (1000 - age, 1000 - age))
    forget_older(entries[0], kept=2)
    assert [entry.exists() for entry in entries] == [True, False, False, True]
    assert other.exists()


@pytest.mark.parametrize(
    ("base", "overlay", "expected"),
    [
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}, id="mappings merge by key"),
        pytest.param({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, id="lists are replaced"),
        pytest.param({"a": {"b": 1}}, {"a": 2}, {"a": 2}, id="a value replaces a mapping"),
        pytest.param({"a": 1}, {"b": {"c": 1}}, {"a": 1, "b": {"c": 1}}, id="new keys are added"),
        pytest.param({"a": 1}, None, {"a": 1}, id="an empty overlay changes nothing"),
    ],
)
def test_merge(base: object, overlay: object, expected: object) -> None:
    assert merged(base, overlay) == expected


def test_merge_rewrites_the_base_file_and_a_comment_changes_nothing(tmp_path: Path) -> None:
    base, overlay, comment = (tmp_path / name for name in ("milvus.yaml", "user.yaml", "comment.yaml"))
    base.write_text("etcd: {rootPath: by-dev, use: {embed: true}}\n")
    overlay.write_text("etcd: {use: {embed: false}}\n")
    comment.write_text("# nothing here\n")
    for file in (overlay, comment):
        merge_files(base, file)
    assert base.read_text() == "etcd:\n  rootPath: by-dev\n  use:\n    embed: false\n"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param("localhost:{{ etcd_port(int): 2379 }}", "localhost:2379", id="typed with default"),
        pytest.param("level: {{ etcd_log_level: info }} # text", "level: info # text", id="default before a comment"),
        pytest.param("dir: {{ etcd_data_dir }}", "dir: ", id="without default"),
        pytest.param("plain: {a: 1}", "plain: {a: 1}", id="a YAML mapping is no placeholder"),
    ],
)
def test_the_wheels_template_is_filled_with_its_defaults(template: str, expected: str) -> None:
    assert render_template(template) == expected


def test_image_tags_tell_the_versions_that_are_built() -> None:
    assert f"<version>{KAFKA.rpartition(':')[2]}</version>" in (FILES / "pom.xml").read_text()
    assert MILVUS_WHEEL.startswith(f"milvus=={MILVUS.rpartition(':')[2]} ")
    # Prometheus 3.11.3 is version v0.311.3 of its Go module.
    major, minor, patch = PROMETHEUS.rpartition(":")[2].split(".")
    assert f"prometheus/prometheus v0.{major}{int(minor):02}.{patch}" in (FILES / "prometheus/go.mod").read_text()
