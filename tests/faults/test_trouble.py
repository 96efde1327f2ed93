"""Trouble at any outside write of any kind of step changes neither the end nor the number of effects.

As in test_crashes.py, with an operator that lives on: its write is refused, held back, in conflict or cut (proxy.py).
What changes something back on its way is held back for longer as well: a write that arrives when all is over must find
nothing to change. A module of its own, so that both halves can run side by side.
"""

from __future__ import annotations

import pytest

from tests.faults.proxy import Fault, Script
from tests.faults.stage import Stage
from tests.faults.staging import REQUEST_TIMEOUT_SECONDS
from tests.faults.stories import STORIES

pytestmark = pytest.mark.integration
DELAY_SECONDS = REQUEST_TIMEOUT_SECONDS + 1
LATE_SECONDS = 4 * REQUEST_TIMEOUT_SECONDS  # all is over by then, as a rule
TROUBLE = (Fault.REFUSE, Fault.DELAY, Fault.CONFLICT, Fault.SERVER_ERROR, Fault.CUT)


@pytest.mark.parametrize("name", STORIES)
def test_trouble_at_any_outside_write_changes_nothing(stage: Stage, name: str) -> None:
    writes = range(1, STORIES[name].writes + 1)
    scripts = [Script(fault=fault, at=write, delay_seconds=DELAY_SECONDS) for write in writes for fault in TROUBLE]

    assert dict(stage.undisturbed(name)[1].effects) == STORIES[name].effects
    assert stage.differences(name, scripts) == []


def test_a_write_that_arrives_when_all_is_over_changes_nothing(stage: Stage) -> None:
    name = "swap segments"  # the balancer is held off and let go
    writes = range(1, STORIES[name].writes + 1)
    scripts = [Script(fault=Fault.DELAY, at=write, delay_seconds=LATE_SECONDS) for write in writes]

    assert stage.differences(name, scripts) == []
