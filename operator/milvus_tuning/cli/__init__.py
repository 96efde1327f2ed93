"""The command line for people: plans and votes, why and what was, what is hot, and files checked offline.

Also a kubectl plugin: as `kubectl-milvus_tuning` on the PATH it is `kubectl milvus-tuning`. Objects are read as plain
maps (`fields`), so that an object of a newer operator, with fields and words unknown here, is still shown. What is
shown is made by pure functions from objects to text (`plans`, `votes`, `explain`, `history`, `top`); `cluster` alone
speaks to the API server, with the caller's own rights, and `commands` puts the two together.
"""

from __future__ import annotations

from milvus_tuning.cli.arguments import EXIT_FAILURE, EXIT_OK, EXIT_TO_DO, EXIT_USAGE, CommandParser, program_name
from milvus_tuning.cli.commands import add_commands
from milvus_tuning.cli.config import add_config_commands

__all__ = [
    "EXIT_FAILURE",
    "EXIT_OK",
    "EXIT_TO_DO",
    "EXIT_USAGE",
    "CommandParser",
    "add_commands",
    "add_config_commands",
    "program_name",
]
