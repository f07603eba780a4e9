"""Errors that end a run, each with the exit status that tells its kind."""

from __future__ import annotations


class RunnerError(Exception):
    """The run cannot go on; the message says what was wrong, where, and what to do."""

    exit_status = 1

    def shown(self) -> str:
        """The message as the terminal shows it."""
        return f"error: {self}"


class SettingsError(RunnerError):
    """A setting, a file that it names, or the credentials are wrong: found before anything was made on AWS."""

    exit_status = 2

    def shown(self) -> str:
        """A line for each wrong setting."""
        return "\n".join(f"error: {line}" for line in str(self).splitlines())
