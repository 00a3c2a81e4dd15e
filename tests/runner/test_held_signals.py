"""Signals that come where an exception would be swallowed, or would end the process, wait for a better moment."""

# ruff: noqa: PT012 (that signals within the block raise nothing is what is tested)

from __future__ import annotations

import signal
import threading
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

from structflow.runner.held_signals import STORM, HeldSignals
from structflow.runner.interruption import TimedCheckpoints
from structflow.store.checkpoint_slots import CheckpointSlots
from structflow.store.run_directory import RunDirectory


class Ended(BaseException):
    """What the handler of a test raises."""


@contextmanager
def heard(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def end(number, frame):
    raise Ended(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_callback_of_a_weak_reference_is_not_lost(number, capfd):
    """Python prints and forgets what such a callback raises: the run went on."""

    class Value:
        pass

    done = []
    with heard(number, end):
        value = Value()
        watch = weakref.ref(value, lambda _: signal.raise_signal(number))
        with pytest.raises(Ended), HeldSignals().holding():
            del value
            done.append(watch() is None)
        assert done == [True]  # what was being computed was computed
        assert signal.getsignal(number) is end
    assert "Exception ignored" not in capfd.readouterr().err


def test_whoever_sends_a_signal_is_told_unless_the_end_is_near(capfd):
    for near in (False, True):
        held = HeldSignals(between_steps=near)
        with heard(signal.SIGTERM, end), pytest.raises(Ended), held.holding():
            signal.raise_signal(signal.SIGTERM)
        assert ("once more to end at once" in capfd.readouterr().err) != near


def test_a_storm_is_one_wish_and_a_later_signal_another():
    now = [0.0]
    held = HeldSignals(lambda: now[0], between_steps=True)
    steps = []
    with heard(signal.SIGTERM, end), heard(signal.SIGINT, end), pytest.raises(Ended) as caught, held.holding():
        for step in range(20):
            now[0] += STORM / 10
            signal.raise_signal(signal.SIGTERM)
            steps.append(step)
    assert steps == list(range(11))  # that of the twelfth step comes more than `STORM` after the first
    assert caught.value.args == (signal.SIGTERM,)


def test_a_command_ends_at_once_without_an_exception():
    class Command:
        def __init__(self):
            self.ended: list[int] = []

        def __call__(self, number, frame):
            raise Ended(number)

        def at_once(self, number):
            self.ended.append(number)
            raise SystemExit

    now, command = [0.0], Command()
    with heard(signal.SIGINT, command), pytest.raises((SystemExit, Ended)), HeldSignals(lambda: now[0]).holding():
        signal.raise_signal(signal.SIGINT)
        now[0] += 2 * STORM
        assert command.ended == []
        signal.raise_signal(signal.SIGINT)
    assert command.ended == [signal.SIGINT]


def test_an_error_of_the_task_does_not_hide_the_signal():
    """Else the failure would be noted and the next task begun."""
    with heard(signal.SIGINT, end), pytest.raises(Ended), HeldSignals(between_steps=True).holding():
        signal.raise_signal(signal.SIGINT)
        raise ValueError


def test_the_state_after_the_step_is_written_first(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    held = HeldSignals()
    timed = TimedCheckpoints(CheckpointSlots(directory, "task"), 1e9, held=held)
    assert not timed.is_due(1, 10)
    with heard(signal.SIGTERM, end), pytest.raises(Ended), held.holding():
        signal.raise_signal(signal.SIGTERM)
        assert timed.is_due(2, 10)
        timed.save(2, {"step": np.array(2)})
        pytest.fail("it went on")
    assert timed.load()["step"] == 2


def test_signals_that_are_ignored_stay_so():
    with heard(signal.SIGINT, signal.SIG_IGN), HeldSignals().holding():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_hold_nothing():
    found = []
    before = signal.getsignal(signal.SIGINT)

    def work():
        with HeldSignals().holding():
            found.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]
