"""The command line: prepare a collection, calibrate what it carries, run a load against it. All output is JSON."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from pymilvus.exceptions import MilvusException

from tests.load.calibrate import CONCURRENCIES, Capacity, calibrate
from tests.load.control import follow_stdin
from tests.load.errors import LoadError
from tests.load.openloop import OpenLoop
from tests.load.options import RunOptions
from tests.load.prepare import Dataset, prepare
from tests.load.report import Second, summarise
from tests.load.schedule import Shape, Spacing
from tests.load.target import MilvusTarget, build_requests

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 2 means that it could not be done, with the reason on standard error."""
    options = _parser().parse_args(argv)
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it would print a traceback beside our one line
    try:
        options.command(options)
    except (LoadError, ValueError, MilvusException) as error:
        print(f"tests.load: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_prepare(commands.add_parser("prepare", help="make and load a collection of sealed segments"))
    _add_run(commands.add_parser("run", help="open-loop searches, one JSON line a second, then a summary"))
    _add_calibrate(commands.add_parser("calibrate", help="measure the searches per second the nodes carry"))
    return parser


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_prepare)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--segments", type=int, required=True, help="sealed segments in all, a multiple of the shards")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)


def _prepare(options: argparse.Namespace) -> None:
    dataset = Dataset(
        rows=options.rows, dim=options.dim, segments=options.segments, shards=options.shards, seed=options.seed
    )
    print(json.dumps(asdict(prepare(options.uri, options.collection, dataset, replicas=options.replicas))))


def _add_searches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", required=True)
    parser.add_argument("--collection", action="append", required=True, help="give it again to search several in turn")
    parser.add_argument("--limit", type=int, default=10, help="results per search")
    parser.add_argument("--nq", type=int, default=8, help="vectors per search, each read against every row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds after which a search has failed")


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_calibrate)
    _add_searches(parser)
    parser.add_argument("--seconds", type=float, default=15.0, help="shared between the steps")
    parser.add_argument(
        "--concurrency", type=int, action="append", help=f"of a step; may be repeated (default {CONCURRENCIES})"
    )


def _calibrate(options: argparse.Namespace) -> None:
    requests = build_requests(options.uri, options.collection, limit=options.limit, nq=options.nq, seed=options.seed)

    async def measure() -> Capacity:
        async with MilvusTarget(options.uri, requests) as target:
            return await calibrate(
                target,
                seconds=options.seconds,
                concurrencies=options.concurrency or CONCURRENCIES,
                timeout_seconds=options.timeout,
            )

    print(json.dumps(asdict(asyncio.run(measure()))))


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_run)
    _add_searches(parser)
    parser.add_argument("--rate", type=float, default=0.0, help="searches per second")
    parser.add_argument("--profile", help='rate over time as seconds:rate points, for example "0:20,30:80,90:20"')
    parser.add_argument("--shape", type=Shape, choices=list(Shape), default=Shape.LINEAR, help="between the points")
    parser.add_argument("--seconds", type=float, help="end of the schedule; without it until SIGTERM or SIGINT")
    parser.add_argument("--spacing", type=Spacing, choices=list(Spacing), default=Spacing.POISSON)
    parser.add_argument("--max-in-flight", type=int, default=512, help="what would exceed it is dropped and counted")
    parser.add_argument("--report-every", type=float, default=1.0, help="seconds")
    parser.add_argument("--verify", action="store_true", help="a reply that lacks rows of the first one has failed")
    parser.add_argument("--out", type=Path, help="write the lines to this file too")
    parser.add_argument("--control", choices=["-"], help='read commands such as {"rate": 60} from standard input')


def _run(options: argparse.Namespace) -> None:
    run = RunOptions(
        uri=options.uri,
        collections=tuple(options.collection),
        rate=options.rate,
        profile=options.profile,
        shape=options.shape,
        seconds=options.seconds,
        spacing=options.spacing,
        seed=options.seed,
        limit=options.limit,
        nq=options.nq,
        timeout_seconds=options.timeout,
        max_in_flight=options.max_in_flight,
        report_every_seconds=options.report_every,
        verify=options.verify,
        out=options.out,
    )
    run.rates()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # one that comes now waits until it can end the run cleanly
    requests = build_requests(run.uri, run.collections, limit=run.limit, nq=run.nq, seed=run.seed)
    with ExitStack() as stack:
        files = [sys.stdout] if run.out is None else [sys.stdout, stack.enter_context(run.out.open("w"))]
        asyncio.run(_run_load(run, requests, files, steered=options.control is not None))


async def _run_load(run: RunOptions, requests: Sequence[bytes], files: Sequence[TextIO], *, steered: bool) -> None:
    seconds: list[Second] = []

    def report(second: Second) -> None:
        seconds.append(second)
        _write(second.to_line(), files)

    async with MilvusTarget(run.uri, requests, verify=run.verify) as target:
        load = OpenLoop(target, run.arrivals(), run.limits(), report=report, start_unix_seconds=_unix_seconds())
        _stop_on_signals(load)
        async with _steering(load) if steered else nullcontext():
            await load.run()
    _write(summarise(seconds).to_line(), files)


@asynccontextmanager
async def _steering(load: OpenLoop) -> AsyncIterator[None]:
    """Follow standard input; its end stops the run, for whoever steered it is gone."""
    steering = asyncio.create_task(follow_stdin(load.change))
    steering.add_done_callback(lambda _: load.stop())
    yield
    steering.cancel()
    with suppress(asyncio.CancelledError):
        await steering


def _stop_on_signals(load: OpenLoop) -> None:
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, load.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _unix_seconds() -> float:
    return time.time()  # noqa: TID251 - the one place that reads the wall clock, so that lines match Milvus's metrics


def _write(line: str, files: Sequence[TextIO]) -> None:
    for file in files:
        print(line, file=file, flush=True)
