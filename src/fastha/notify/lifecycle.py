"""startup_script and shutdown_script: run before anything else starts and after everything has ended.

keepalived.conf(5), `startup_script`. Waited for at most their time limit, then ended; the daemon goes on
either way.
"""

from __future__ import annotations

from collections.abc import Callable

from fastha.scripts.runner import Program, Runner


async def run_lifecycle_script(
    what: str, program: Program, timeout: float, runner: Runner, log: Callable[[str], None]
) -> bool:
    """Runs a start-up or shutdown script (`what` names it); whether it succeeded. What went wrong is told."""
    execution = runner.start(program, timeout=timeout)
    outcome = await execution.outcome
    if outcome.ok:
        return True
    log(f"{what} ({program.describe()}) failed: {outcome.describe()}")
    if outcome.timed_out:
        await execution.gone
    return False
