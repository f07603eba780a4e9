"""The command line: python -m emulator up | env | status | down | images. The only place that reads the environment."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path, user_state_path

from emulator.instance import AlreadyRunning, Instance, InstanceFile
from emulator.options import (
    OptionUnusable,
    check_record,
    check_s3_endpoint,
    check_state_dir,
    differences,
    given,
    port,
    region,
)
from emulator.private import private_folder
from emulator.settings import Settings
from emulator.shell import lines

APP = "sagemaker-rehearsal"
EXIT_FAILED, EXIT_NOT_RUNNING, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 3, 130, 141
STOP_SECONDS = 30.0
HINT = "No emulator runs. Start it: python -m emulator up"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = parser().parse_args(arguments)
    instance = InstanceFile(user_state_path(APP))
    if options.command == "env":
        return _env(instance, as_json=options.json)
    if options.command == "status":
        return _status(instance, as_json=options.json)
    if options.command == "down":
        return _down(instance)
    if options.command == "images":
        return _images(options)
    return _foreground(options, instance) if options.foreground else _detached(options, instance)


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    made = argparse.ArgumentParser(
        prog="python -m emulator", description="SageMaker on this machine, for any program that speaks AWS's API."
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="up|env|status|down|images")
    up = commands.add_parser("up", help="start it, unless it runs; returns when it is ready")
    for flag, text in {
        "--foreground": "stay until SIGTERM or Ctrl-C; prints `env --json` when ready",
        "--private": "for the parent process alone: known to nobody else, ends with its stdin, leaves nothing",
    }.items():
        up.add_argument(flag, action="store_true", help=text)
    # No defaults here: an emulator that runs already is held against what was asked for, and nothing else.
    up.add_argument("--port", type=port, metavar="N", help="default: any free one")
    up.add_argument("--engine", choices=["auto", "docker", "venv"], help="runs the containers (default: auto)")
    up.add_argument(
        "--limits", action="store_const", const=True, help="docker: give containers what their instance types have"
    )
    up.add_argument("--region", type=region, help=f"the region that it is (default: {Settings.region})")
    up.add_argument("--state-dir", type=Path, metavar="DIR", help="where jobs, endpoints and objects are kept")
    up.add_argument("--images", type=Path, metavar="FILE", help="the catalogue (default: docker/images.toml)")
    up.add_argument("--record", type=Path, metavar="FILE", help="append every request, as a line of JSON")
    up.add_argument("--s3-endpoint", metavar="URL", help="a LocalStack that runs already (default: one of its own)")
    for name, text in (
        ("env", "print the variables that make AWS clients use it, for eval in a shell"),
        ("status", "say whether it runs, and how to reach it"),
    ):
        commands.add_parser(name, help=text).add_argument("--json", action="store_true", help="the same as JSON")
    commands.add_parser("down", help="stop it; no error when none runs")
    images = commands.add_parser("images", help="the images of the Docker engine, with their sizes")
    actions = images.add_subparsers(dest="action", required=True, metavar="build|list")
    for name, text in (("build", "build those that are missing, and list them"), ("list", "only list them")):
        action = actions.add_parser(name, help=text)
        action.add_argument("uris", nargs="*", metavar="URI", help="only these, as requests name them (default: all)")
        action.add_argument("--json", action="store_true", help="an object by URI; null: not built yet")
        action.add_argument("--pull", action="append", default=[], metavar="URI", help="fetch this one (AWS's, say)")
        action.add_argument("--images", type=Path, metavar="FILE", help="the catalogue (default: docker/images.toml)")
    return made


def _env(instance: InstanceFile, *, as_json: bool) -> int:
    running = instance.read()
    if running is None:
        print(HINT, file=sys.stderr)
        return EXIT_NOT_RUNNING
    if as_json:
        print(json.dumps(running.public()))
        return 0
    print("\n".join(lines(running.environment, os.environ)))
    return 0


def _status(instance: InstanceFile, *, as_json: bool) -> int:
    running = instance.read()
    if as_json:
        print(json.dumps({"running": running is not None, **(running.summary() if running else {})}))
    elif running is None:
        print("The emulator is starting." if instance.running() else HINT)
    else:
        print(running.describe())
    return EXIT_NOT_RUNNING if running is None else 0


def _down(instance: InstanceFile) -> int:
    running = instance.read()
    if running is None and instance.running():
        print("The emulator is just starting or stopping; try again in a moment.", file=sys.stderr)
        return EXIT_FAILED
    if running is None:
        return _end_leftovers() or _said("No emulator runs.")
    os.kill(running.pid, signal.SIGTERM)
    if instance.wait_until_gone(STOP_SECONDS):
        return _end_leftovers() or _said("The emulator is stopped.")
    os.kill(running.pid, signal.SIGKILL)
    print(f"It did not stop within {STOP_SECONDS:g} s and was killed.", file=sys.stderr)
    return _end_leftovers() if instance.wait_until_gone(5) else EXIT_FAILED


def _end_leftovers() -> int:
    """What emulators that were killed left running; that of private ones that live is theirs."""
    from emulator.engine.choice import end_leftovers
    from emulator.engine.processes import ProcessesLeft

    try:
        ended = end_leftovers(_processes_dir(), _docker_url())
    except (ProcessesLeft, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return _said(f"Ended what an emulator that was killed had left running: {', '.join(ended)}") if ended else 0


def _said(line: str) -> int:
    print(line)
    return 0


def _processes_dir() -> Path:
    return user_state_path(APP) / "processes"


def _docker_url() -> str:
    return os.environ.get("DOCKER_HOST", "")


def _detached(options: argparse.Namespace, instance: InstanceFile) -> int:
    running = instance.wait_until_ready()
    if running is not None:
        return _runs_already(options, running)
    if not _usable(options):
        return EXIT_FAILED
    from emulator.detached import StartFailed, start

    forwarded = [part for pair in given(options).items() for part in pair if part]
    arguments = [sys.executable, "-m", "emulator", "up", "--foreground", *forwarded]
    log = user_state_path(APP, ensure_exists=True) / "emulator.log"
    try:
        start(arguments, log, _report)
    except KeyboardInterrupt:
        print("Not started.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except StartFailed as error:
        running = instance.wait_until_ready()  # somebody else's `up` at the same time may have won
        if running is None:
            print(f"The emulator did not start: {error}", file=sys.stderr)
            return EXIT_FAILED
        return _runs_already(options, running)
    running = instance.read()
    if running is None:
        print(f"The emulator ended at once; its log: {log}", file=sys.stderr)
        return EXIT_FAILED
    print(running.describe())
    return 0


def _runs_already(options: argparse.Namespace, running: Instance) -> int:
    missing = differences(given(options), running.options())
    if missing:
        print(
            f"An emulator runs already, without {', '.join(missing)}. Stop it first (python -m emulator down), or use "
            "it as it is (python -m emulator up, without these options).",
            file=sys.stderr,
        )
        return EXIT_FAILED
    print(f"An emulator runs already.\n{running.describe()}")
    return 0


def _usable(options: argparse.Namespace) -> bool:
    try:
        if options.s3_endpoint is not None:
            check_s3_endpoint(options.s3_endpoint)
        if options.state_dir is not None and not options.private:
            check_state_dir(options.state_dir)
        if options.record is not None:
            check_record(options.record)
    except OptionUnusable as error:
        print(error, file=sys.stderr)
        return False
    return True


def _foreground(options: argparse.Namespace, instance: InstanceFile) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    _forget_aws_settings()
    if not _usable(options):
        return EXIT_FAILED
    if not options.private:
        try:
            instance.acquire()
        except AlreadyRunning:
            print("Another emulator runs already (python -m emulator status).", file=sys.stderr)
            return EXIT_FAILED
        try:
            state = options.state_dir or user_state_path(APP) / "state"
            return _serve(_up_settings(options, state), stop, instance)
        finally:
            instance.withdraw()
    threading.Thread(target=_stop_with_stdin, args=(stop,), daemon=True).start()
    with private_folder(f"{APP}-private-") as state:
        return _serve(_up_settings(options, state), stop, None)


def _serve(settings: Settings, stop: threading.Event, instance: InstanceFile | None) -> int:
    from emulator.app import serve

    def ready(made: Instance) -> None:
        if instance is not None:
            instance.write(made)
        print(json.dumps(made.public()), flush=True)

    return serve(settings, stop, ready, _report)


def _settings(options: argparse.Namespace, state: Path) -> Settings:
    source_root = Path(__file__).resolve().parents[2]
    return Settings(
        state_dir=state.absolute(),
        processes_dir=_processes_dir(),
        cache_dir=user_cache_path(APP) / "environments",
        source_root=source_root,
        images=(options.images or source_root / "docker" / "images.toml").absolute(),
        docker_url=_docker_url(),
    )


def _up_settings(options: argparse.Namespace, state: Path) -> Settings:
    return replace(
        _settings(options, state),
        region=options.region or Settings.region,
        port=options.port or Settings.port,
        engine=options.engine or Settings.engine,
        limits=options.limits or Settings.limits,
        record=options.record.absolute() if options.record else None,
        s3_endpoint=options.s3_endpoint,
    )


def _images(options: argparse.Namespace) -> int:
    from emulator.images_command import Wish, run

    try:
        return run(_settings(options, user_state_path(APP) / "state"), Wish.of(options), print, _report)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _stop_with_stdin(stop: threading.Event) -> None:
    """The other end of stdin closes with the parent, even when that is killed."""
    while os.read(0, 4096):
        pass
    stop.set()


def _forget_aws_settings() -> None:
    """The emulator's own clients talk to its own LocalStack, whatever the user's profiles and keys are."""
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet_main() -> int:
    """`main`, for whose output nobody need wait: `status | head -1` ends without a word, as other programs do."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is written at the end
        return EXIT_BROKEN_PIPE
    return status


if __name__ == "__main__":
    sys.exit(_quiet_main())
