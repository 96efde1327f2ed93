"""The command line: `milvus-tuning run` is the operator; the other commands are for people and for make."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from milvus_tuning import __version__, crd
from milvus_tuning.api import GROUP, PLURAL, VERSION, MilvusTuningSpec
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, CommandParser, add_commands, add_config_commands, program_name
from milvus_tuning.errors import ApplyError, ConfigError, ObserveError
from milvus_tuning.settings import Settings, read_settings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0 fine, 1 something failed or was found, 2 (`plan`, `rebalance plan`, `config diff`, `config revert --dry-run`)
    there is something to do or a difference, 64 wrong usage (raises SystemExit), for every command alike.
    """
    program = program_name(sys.argv[0])
    parsed = _parser(program).parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
    except (ConfigError, ObserveError, ApplyError, ValueError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_OK
    return code


def _parser(program: str) -> argparse.ArgumentParser:
    parser = CommandParser(prog=program, description="Keeps a Milvus vector database fast.")
    parser.set_defaults(program=program)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the operator; settings come from MILVUS_TUNING_* variables")
    run.set_defaults(command=_run)

    manifest = commands.add_parser("crd", help="print the CustomResourceDefinition")
    manifest.set_defaults(command=_crd)

    record = commands.add_parser("record", help="append snapshots of a cluster to a JSON-lines file")
    _add_tuning(record)
    record.add_argument("--output", type=Path, required=True, help="file to append to")
    record.add_argument("--interval", type=float, default=15.0, help="seconds between snapshots (default 15)")
    record.add_argument(
        "--count", type=int, default=0, help="stop after so many snapshots (default: until interrupted)"
    )
    record.set_defaults(command=_record)

    doctor = commands.add_parser("doctor", help="check what the operator needs: rights, addresses, series, versions")
    _add_tuning(doctor)
    doctor.add_argument("-o", "--output", choices=("table", "json"), default="table")
    doctor.set_defaults(command=_doctor)

    simulate = commands.add_parser("simulate", help="run scenario files in virtual time; exit code 1 where one fails")
    simulate.add_argument("scenario", type=Path, nargs="+", help="scenario file (YAML)")
    simulate.set_defaults(command=_simulate)
    add_commands(commands)
    add_config_commands(commands)
    return parser


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", default="default", help="namespace of the MilvusTuning")
    parser.add_argument("name", help="name of the MilvusTuning")
    parser.add_argument("-f", "--file", type=Path, help="read the MilvusTuning from this file and not from the cluster")


def _run(_: argparse.Namespace) -> int:
    from milvus_tuning import handlers
    from milvus_tuning.clients.kube import load_api_client
    from milvus_tuning.clients.lease import OperatorLease
    from milvus_tuning.metrics import Metrics
    from milvus_tuning.reconcile import Reconciler

    settings = read_settings()
    _configure_logging(settings)
    api_client = load_api_client(settings)
    metrics = Metrics()
    lease = OperatorLease(api_client, settings)
    reconciler = Reconciler(api_client=api_client, settings=settings, require_lease=lease.require, metrics=metrics)
    handlers.run(reconciler, lease, settings, metrics)
    return EXIT_OK


def _crd(_: argparse.Namespace) -> int:
    print(crd.render(), end="")
    return EXIT_OK


def _record(parsed: argparse.Namespace) -> int:
    from milvus_tuning.clients.kube import load_api_client
    from milvus_tuning.observe import Observer
    from milvus_tuning.snapshot_json import dump_snapshot
    from milvus_tuning.turn import utc_now

    settings = read_settings()
    api_client = load_api_client(settings)
    spec = _spec(parsed, api_client, settings)
    observer = Observer(api_client, settings)
    taken = 0
    with parsed.output.open("a", encoding="utf-8") as output:
        while not parsed.count or taken < parsed.count:
            snapshot = observer.observe(parsed.namespace, spec, utc_now())
            output.write(json.dumps(dump_snapshot(snapshot), separators=(",", ":")) + "\n")
            output.flush()
            taken += 1
            if taken != parsed.count:
                time.sleep(parsed.interval)
    observer.close()
    print(f"{taken} snapshots appended to {parsed.output}")
    return EXIT_OK


def _doctor(parsed: argparse.Namespace) -> int:
    from milvus_tuning.clients.kube import load_api_client
    from milvus_tuning.doctor import Result, run_checks

    settings = read_settings()
    api_client = load_api_client(settings)
    checks = run_checks(api_client, settings, parsed.namespace, _spec(parsed, api_client, settings))
    if parsed.output == "json":
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{check.result:8} {check.name:{width}}  {check.message}")
            if check.mend:
                print(f"{'':8} {'':{width}}  -> {check.mend}")
    return EXIT_FAILURE if any(check.result is Result.FAILURE for check in checks) else EXIT_OK


def _simulate(parsed: argparse.Namespace) -> int:
    from milvus_tuning.simulate import run_scenario

    outcomes = [run_scenario(path) for path in parsed.scenario]
    for outcome in outcomes:
        print(outcome)
    return EXIT_OK if all(outcome.passed for outcome in outcomes) else EXIT_FAILURE


def _spec(parsed: argparse.Namespace, api_client: ApiClient, settings: Settings) -> MilvusTuningSpec:
    """The spec to work with: from the file where one is named, else from the cluster."""
    from kubernetes.client import CustomObjectsApi

    if parsed.file is not None:
        body = yaml.safe_load(parsed.file.read_text(encoding="utf-8"))
    else:
        body = CustomObjectsApi(api_client).get_namespaced_custom_object(
            GROUP,
            VERSION,
            parsed.namespace,
            PLURAL,
            parsed.name,
            _request_timeout=settings.request_timeout_seconds,
        )
    try:
        return MilvusTuningSpec.model_validate(body["spec"])
    except ValidationError as error:
        raise ConfigError(f"MilvusTuning {parsed.namespace}/{parsed.name}: {error}") from error


def _configure_logging(settings: Settings) -> None:
    import kopf

    log_format = kopf.LogFormat.JSON if settings.log_format == "json" else kopf.LogFormat.FULL
    kopf.configure(verbose=False, log_format=log_format)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # a line for each pass says nothing
    logging.getLogger("pymilvus").setLevel(logging.ERROR)  # it logs each failed connection with a trace; we report it


if __name__ == "__main__":
    sys.exit(main())
