"""Signals are noted, or end a block at once; handlers come back."""

import os
import signal

import pytest

from utils.interrupts import Interrupted, noting_interrupts


def test_a_signal_is_noted_and_raised_when_asked_for() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with noting_interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.asked == signal.SIGTERM
        with pytest.raises(Interrupted, match="SIGTERM") as caught:
            interrupts.check()
        assert caught.value.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_inside_at_once_it_ends_the_block() -> None:
    with noting_interrupts() as interrupts:
        with pytest.raises(Interrupted, match="SIGINT"), interrupts.at_once():
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="SIGINT"), interrupts.at_once():
            pytest.fail("it was asked for before")


def test_a_second_interrupt_does_not_wait() -> None:
    with noting_interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.asked == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
