"""Errors that end a run, each with the exit status that tells its kind."""

from __future__ import annotations


class RunnerError(Exception):
    """The run cannot go on; the message says what was wrong, where, and what to do."""

    exit_status = 1


class SettingsError(RunnerError):
    """A setting, a file that it names, or the credentials are wrong: found before anything was started."""

    exit_status = 2
