"""`python -m training_launcher`: what a training container runs as `train`."""

import os
import sys
from pathlib import Path

from training_launcher.launcher import launch


def main() -> int:
    """Run the job that the environment describes; return the exit status."""
    # The launcher's own folder and the working directory, which `-m` adds, are no business of the script's.
    ours = {str(Path(__file__).resolve().parents[1]), str(Path.cwd()), ""}
    return launch(os.environ, [path for path in sys.path if path not in ours])


if __name__ == "__main__":
    sys.exit(main())
