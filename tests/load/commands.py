"""The short commands as processes of their own, for callers outside the network namespace of the cluster."""

import subprocess
import sys
from collections.abc import Sequence

from pydantic import TypeAdapter

from tests.load.calibrate import CONCURRENCIES, Capacity
from tests.load.errors import LoadError
from tests.load.options import RunOptions
from tests.load.prepare import Dataset, Prepared
from tests.load.process import ROOT

_PREPARED, _CAPACITY = TypeAdapter(Prepared), TypeAdapter(Capacity)


def prepare_by_process(
    uri: str, collection: str, dataset: Dataset, *, replicas: int = 1, argv_prefix: Sequence[str] = ()
) -> Prepared:
    """`prepare` under an argv prefix; raises LoadError with its last words."""
    sizes = [dataset.rows, dataset.dim, dataset.segments, dataset.shards, dataset.seed, replicas]
    flags = ["--rows", "--dim", "--segments", "--shards", "--seed", "--replicas"]
    arguments = [word for flag, size in zip(flags, sizes, strict=True) for word in (flag, str(size))]
    return _PREPARED.validate_json(
        _output_of(["prepare", "--uri", uri, "--collection", collection, *arguments], argv_prefix)
    )


def calibrate_by_process(
    options: RunOptions,
    *,
    seconds: float = 15.0,
    concurrencies: Sequence[int] = CONCURRENCIES,
    argv_prefix: Sequence[str] = (),
) -> Capacity:
    """`calibrate` with the searches of a run, under an argv prefix; raises LoadError with its last words."""
    levels = [word for level in concurrencies for word in ("--concurrency", str(level))]
    arguments = ["calibrate", *options.search_flags(), "--seconds", str(seconds), *levels]
    return _CAPACITY.validate_json(_output_of(arguments, argv_prefix))


def _output_of(arguments: Sequence[str], argv_prefix: Sequence[str]) -> str:
    command = [*argv_prefix, sys.executable, "-m", "tests.load", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
