"""Open-loop search load for Milvus, with its measurements.

`python -m tests.load prepare|calibrate|run` on the command line, `LoadProcess(RunOptions(...))` from Python.
"""

from tests.load.errors import LoadError
from tests.load.options import RunOptions
from tests.load.process import LoadProcess
from tests.load.report import Second, Summary, summarise

__all__ = ["LoadError", "LoadProcess", "RunOptions", "Second", "Summary", "summarise"]
