"""Runs cases of the fault tests, many at once, and compares their ends with the undisturbed one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.faults.ending import STEPS_OVER
from tests.faults.harness import Case, Servers
from tests.faults.judgement import End, end_of
from tests.faults.processes import Launcher, Starter
from tests.faults.proxy import CRASHES, Script
from tests.faults.staging import staged
from tests.faults.stories import STORIES, Story

# Most of a case is waiting: for the Lease of the dead process, for the next pass. More would keep two cores from
# renewing Leases in time, as two modules run side by side.
AT_ONCE = 5
Meddle = Callable[[Case], None]


class Stage:
    """Runs cases, many at once; what went undisturbed is run once."""

    def __init__(self, servers: Servers, launcher: Launcher) -> None:
        self._servers, self._launcher = servers, launcher
        self._calm: dict[str, tuple[Case, End]] = {}

    def end(
        self,
        story: Story,
        script: Script | None = None,
        *,
        until: str = STEPS_OVER,
        starter: Starter | None = None,
        meddle: Meddle | None = None,
    ) -> tuple[Case, End]:
        """Run a case to its end; meddle does something to it before it is judged."""
        with staged(self._servers, starter or self._launcher, story, script) as case:
            case.run(until)
            if meddle is not None:
                meddle(case)
            return case, end_of(case, until)

    def undisturbed(self, name: str) -> tuple[Case, End]:
        """The run of a story without a fault, to the end of its steps."""
        if not self._calm:
            with ThreadPoolExecutor(AT_ONCE) as executor:
                self._calm = dict(zip(STORIES, executor.map(self.end, STORIES.values()), strict=True))
        return self._calm[name]

    def differences(self, name: str, scripts: Iterable[Script]) -> list[str]:
        """What of these runs is not as undisturbed, in words."""
        _, calm = self.undisturbed(name)

        def difference(script: Script) -> str | None:
            case, end = self.end(STORIES[name], script)
            if not case.play.played:
                return f"{script}: it never came to that"
            lived = case.starts == (2 if script.fault in CRASHES else 1)
            return None if end == calm and lived else f"{script}, {case.starts} starts: {end}\nundisturbed: {calm}"

        with ThreadPoolExecutor(AT_ONCE) as executor:
            return [found for found in executor.map(difference, scripts) if found is not None]
