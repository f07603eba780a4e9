"""Signals become exceptions, and wait while something is being cleaned up."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from runner import signals


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in signals.SIGNALS}
    signals.install()
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_an_exception_with_its_exit_status(number: signal.Signals, status: int) -> None:
    """As a shell counts it: 128 + the signal's number."""
    with pytest.raises(signals.Interrupted) as caught:
        signal.raise_signal(number)
    assert caught.value.exit_status == status


def test_only_the_first_signal_interrupts(capfd: pytest.CaptureFixture[str]) -> None:
    """What follows is clean-up, from the first moment on: a second Ctrl-C is answered with a line."""
    with pytest.raises(signals.Interrupted):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert capfd.readouterr().err == "already cleaning up; this ends by itself\n"


def test_a_shield_keeps_signals_off_its_body_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """Inside they are answered with a line; afterwards they interrupt again."""
    with signals.shielded():
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == "already cleaning up; this ends by itself\n"
    with pytest.raises(signals.Interrupted):
        signal.raise_signal(signal.SIGTERM)


def swallow() -> None:
    """Ends as if nothing had been, as the SDK's telemetry does."""
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        return  # noqa: B012


def test_what_somebody_swallowed_is_raised_again() -> None:
    """Nothing else would end the run: later signals find it cleaning up already."""
    swallow()
    with pytest.raises(signals.Interrupted) as caught, signals.not_swallowed():
        pass
    assert caught.value.exit_status == 143
    with pytest.raises(signals.Interrupted), signals.not_swallowed():
        raise ValueError("what came of it")
    signals.install()
    with signals.not_swallowed():
        pass  # an interruption of an earlier program in this process is none of ours


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """`nohup` must go on working."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install()
    signal.raise_signal(signal.SIGHUP)
    with signals.shielded():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
