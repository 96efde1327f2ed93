import threading
from pathlib import Path

import pytest

from tests.cluster.images.store import built, digest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_changed_input_is_another_entry(tmp_path: Path) -> None:
    source = tmp_path / "go.sum"
    source.write_text("one")
    before = digest([source, "flags"])
    source.write_text("two")
    assert len({before, digest([source, "flags"]), digest([source, "other flags"])}) == 3


def test_texts_that_meet_at_another_place_are_other_inputs() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])


def test_an_entry_is_built_once_even_when_asked_for_at_the_same_time() -> None:
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "binary").touch()

    askers = [threading.Thread(target=built, args=("tool", ["1"], build)) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (len(builds), (built("tool", ["1"], build) / "binary").exists()) == (1, True)


def test_a_build_that_failed_leaves_no_entry() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError):
        built("tool", ["1"], fail)
    assert sorted(path.name for path in built("tool", ["1"], lambda _: None).iterdir()) == []
