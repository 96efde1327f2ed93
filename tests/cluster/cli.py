"""The command line: `python -m tests.cluster --name N up|down|status|kubeconfig|exec -- CMD`.

Exit code 0: done, or healthy. 1: it failed, or is not healthy. 2: this machine cannot run the cluster, or wrong usage.
`exec` passes on the code of the command.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.cluster.cluster import Cluster, pods_not_ready, service_rows
from tests.cluster.errors import ClusterError, PreflightError
from tests.cluster.images.progress import CommandError
from tests.cluster.preflight import install_missing_tools, require_able_machine


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real Kubernetes for tests and demos.")
    top.add_argument("--name", default="dev", help="which cluster; several live side by side (default: dev)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("prerequisites", help="check the machine and install small tools that are missing")
    up = commands.add_parser("up", help="start the cluster, or repair it; nothing happens if it is healthy")
    up.add_argument("--bare", action="store_true", help="Kubernetes alone, without Milvus and Prometheus")
    commands.add_parser("down", help="remove the cluster and everything it made")
    commands.add_parser("status", help="what runs and what is not ready")
    kubeconfig = commands.add_parser("kubeconfig", help="the path of a kubeconfig that works outside the namespace")
    kubeconfig.add_argument("--print", action="store_true", dest="content", help="its content instead of its path")
    run = commands.add_parser("exec", help="run a command where Services and pods can be reached")
    run.add_argument("argv", nargs="+", metavar="CMD", help="after --")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except PreflightError as error:
        print(error, file=sys.stderr)
        return 2
    except (ClusterError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "prerequisites":
        require_able_machine()
        install_missing_tools()
        return 0
    cluster = Cluster(options.name)
    if options.command == "up":
        cluster.up(bare=options.bare)
    elif options.command == "down":
        cluster.down()
    elif options.command == "status":
        return _status(cluster)
    elif options.command == "kubeconfig":
        _require_up(cluster)
        print(cluster.kubeconfig.read_text() if options.content else cluster.kubeconfig)
    else:
        _execute(cluster, options.argv)
    return 0


def _status(cluster: Cluster) -> int:
    for name, pid, state in service_rows(cluster):
        print(f"{name:<26}{pid:>8}  {state}")
    if not cluster.healthy():
        print(f"cluster {cluster.name} is not healthy")
        return 1
    waiting = pods_not_ready(cluster)
    for pod in waiting:
        print(f"not ready: {pod}")
    print(f"cluster {cluster.name}: node ready, {len(waiting)} pods not ready")
    return 1 if waiting else 0


def _execute(cluster: Cluster, argv: list[str]) -> None:
    """Become the command, so that signals, the terminal and the exit code are its own."""
    _require_up(cluster)
    command = cluster.command(argv)
    os.execvpe(command[0], command, cluster.environment())


def _require_up(cluster: Cluster) -> None:
    if not (cluster.kubeconfig.exists() and cluster.paths.netns.exists()):
        raise ClusterError(f"cluster {cluster.name} is not up; start it with --name {cluster.name} up")
