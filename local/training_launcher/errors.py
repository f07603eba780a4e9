"""What can go wrong in a training job, in the words of SageMaker's toolkit, which become the job's FailureReason."""

from __future__ import annotations


class CommandError(Exception):
    """A command of the user's (the script, the installation of its requirements) ended with an error.

    `str()` of it is the content of the failure file.
    """

    def __init__(self, name: str, exit_code: int, message: str, command: str) -> None:
        self.name = name
        """ExecuteUserScriptError, InstallRequirementsError, or the name of TensorFlow's error."""
        self.exit_code = exit_code
        self.message = message
        self.command = command
        super().__init__(name)

    def __str__(self) -> str:
        # 137 = 128 + SIGKILL: on AWS that is nearly always the kernel, out of memory.
        killed = 'ExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"\n' if self.exit_code == 137 else ""
        return (
            f'{self.name}:\nExitCode {self.exit_code}\nErrorMessage "{self.message}"\n{killed}Command "{self.command}"'
        )


class Stopped(Exception):
    """The job got SIGTERM, and what ran then ended with this exit status."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(f"stopped, exit status {exit_code}")
