"""`python -m runner --mode local|aws`: reads the settings, runs the workflow, says how it ended."""

from __future__ import annotations

import io
import os
import sys

from runner import config, signals
from runner.errors import RunnerError
from runner.progress import Screen


def main() -> int:
    """Exit status: 0 done, 1 the run failed, 2 wrong settings or credentials, 128+N ended by signal N."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what the SDK's local mode prints there is to be seen at once
    problems = Screen(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        signals.install()
        settings = config.load(sys.argv[1:], os.environ)
        os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"  # v2 is what the project is built on; see ADR 0002

        from runner import pipeline  # after the settings: a wrong one is told at once, before pandas is loaded

        pipeline.run(settings, os.environ, Screen(highlight=False))
    except RunnerError as error:
        problems.print(error.shown())
        return error.exit_status
    except signals.Interrupted as interrupted:
        problems.print(f"ended by {interrupted}")
        return interrupted.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
