"""What all commands share: exit codes, the name that the program was called by, and common options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

EXIT_OK = 0
EXIT_FAILURE = 1  # something failed, or was found
EXIT_TO_DO = 2  # `plan`, `rebalance plan`: there is something to do; `config diff`, `revert --dry-run`: a difference
EXIT_USAGE = 64  # EX_USAGE of sysexits.h; argparse's own 2 would read as "something to do"

PROGRAM = "milvus-tuning"
PLUGIN_PREFIX = "kubectl-"
OUTPUTS = ("table", "json", "yaml")


class CommandParser(argparse.ArgumentParser):
    """A parser that ends with EXIT_USAGE on wrong usage; its subcommands' parsers are of this class, too."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how it goes, and end."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def program_name(called_as: str) -> str:
    """How people call us: "kubectl milvus-tuning" where kubectl started us as its plugin, else "milvus-tuning"."""
    return f"kubectl {PROGRAM}" if Path(called_as).name.startswith(PLUGIN_PREFIX) else PROGRAM


def add_connection(parser: argparse.ArgumentParser) -> None:
    """The options that say which cluster and which namespace, named as kubectl names them."""
    parser.add_argument("-n", "--namespace", help="namespace (default: that of the kubeconfig's context)")
    parser.add_argument("--context", help="context of the kubeconfig to use (default: its current one)")
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig file (default: KUBECONFIG, ~/.kube/config)")


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option that says for whom the output is."""
    parser.add_argument(
        "-o", "--output", choices=OUTPUTS, default=OUTPUTS[0], help="table for people, json or yaml for programs"
    )


def repeated(parsed: argparse.Namespace, command: str, name: str, namespace: str) -> str:
    """A command line for the same cluster, to be copied: "milvus-tuning approve rag-0123456789 -n milvus"."""
    options = [f"-n {namespace}"]
    options += [f"--context {parsed.context}"] if parsed.context else []
    options += [f"--kubeconfig {parsed.kubeconfig}"] if parsed.kubeconfig else []
    return f"{parsed.program} {command} {name} {' '.join(options)}"
