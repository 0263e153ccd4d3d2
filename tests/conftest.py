"""One second try for tests on wires, and a limit on how many a run may need.

A machine with two shared cores now and then stands still for longer than a protocol's patience; a peer's
process is then not heard for a second although nothing is wrong. A test that is marked `wire` is therefore
repeated once when it fails. The run names each such test, and it fails all the same when more than
`SECOND_TRIES` of them were needed: so many at once are a fault of ours.
"""

from __future__ import annotations

import signal

import pytest

SECOND_TRIES = 4
_RERUN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started by a shell in the background, whose children would ignore it, too: some tests send it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_RERUN] = []
    config.pluginmanager.register(_Count(config.stash[_RERUN]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in items:
        if item.get_closest_marker("wire") and not item.get_closest_marker("flaky"):
            item.add_marker(pytest.mark.flaky(reruns=1))


class _Count:
    """What was repeated; with workers, counted by the one that leads them."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]
            self.names.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if len(self.names) > SECOND_TRIES and not exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in self.names:
            terminalreporter.write_line(f"passed only at the second try, or not at all: {name}")
        if len(self.names) > SECOND_TRIES:
            terminalreporter.write_line(
                f"more than {SECOND_TRIES} second tries: the run has failed", red=True
            )
