"""What is shown while a config is trained: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import math
import signal
import sys
from dataclasses import replace

import pytest
from support.searching import epoch_metrics

from hpsearch.cli.terminal.training_progress import epoch_printer, line, stopped_by_signals


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_with_the_figures(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "stdout", Terminal())
    with epoch_printer("a [red]name[/red]", epochs=3, done=1, quiet=False) as tell:
        tell(epoch_metrics(2, 0.5))
    shown = sys.stdout.getvalue()
    assert "a [red]name[/red]" in shown
    assert "1/3" in shown
    assert "2/3" in shown
    assert "accuracy 50.00 %" in shown
    assert "epoch 2/3" not in shown


def test_elsewhere_each_epoch_is_a_line(capsys):
    with epoch_printer("name", epochs=3, done=0, quiet=False) as tell:
        tell(epoch_metrics(1, 0.5))
    out = capsys.readouterr().out
    assert out == line(epoch_metrics(1, 0.5), 3) + "\n"
    assert out.startswith("epoch 1/3  train loss ")
    with epoch_printer("name", epochs=3, done=0, quiet=True) as tell:
        tell(epoch_metrics(1, 0.5))
    assert capsys.readouterr().out == ""


def test_without_validation_images_no_figure_of_them_is_shown():
    result = replace(epoch_metrics(1, 0.5), val_loss=math.nan, val_accuracy=math.nan)
    assert "val" not in line(result, 3)
    assert "nan" not in line(result, 3)


def test_a_terminal_that_closes_is_one_signal_however_often_it_comes():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stopped_by_signals(active=True) as stop:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_one_is_as_ever(number):
    came = []
    before = signal.signal(number, lambda *_: came.append(number))
    try:
        with stopped_by_signals(active=True) as stop:
            assert not stop()
            signal.raise_signal(number)
            assert stop()
            assert came == []
            signal.raise_signal(number)
            assert came == [number]
        with stopped_by_signals(active=False) as stop:
            signal.raise_signal(number)
            assert not stop()
        assert came == [number, number]
    finally:
        signal.signal(number, before)
