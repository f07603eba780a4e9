"""Starts LocalStack in its own environment, with the things mended that its settings cannot."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

HOSTS = ("localhost", "host.docker.internal")  # and every address: what clients of the emulator call it
OF_BROWSERS = (b"origin", b"sec-fetch-site")


def _end_with_the_parent(folder: Path) -> None:
    """End when stdin does: its other end closes with the emulator, even when that is killed."""
    while sys.stdin.buffer.read(4096):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # an orderly end takes a second, and there is nothing to be saved


def _listen_on_loopback_only() -> None:
    """LocalStack 4.9.2 ignores the host in GATEWAY_LISTEN and listens on every interface; it checks no credentials."""
    from twisted.internet import endpoints  # type: ignore[import-not-found]

    endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")


def _answer_this_user_only() -> None:
    """It checks no credentials: who comes by the emulator has shown them, and all others are kept out here.

    Others are processes of other users, and web pages in this user's browser, whose requests name a host of theirs
    (DNS rebinding) or say that they are a browser's.
    """
    from rolo.serving import twisted  # type: ignore[import-not-found]

    render = twisted.WebsocketResourceDecorator.render
    users = _users_are_known()

    def checked(self: Any, request: Any) -> Any:
        channel = request.channel
        if users and not hasattr(channel, "of_this_user"):
            channel.of_this_user = _user_of(request.getClientAddress().port, request.getHost().port) == os.getuid()
        host = (request.getHeader(b"host") or b"").decode("latin-1").rpartition(":")[0]
        browser = any(request.requestHeaders.hasHeader(name) for name in OF_BROWSERS)
        if (users and not channel.of_this_user) or browser or not (host in HOSTS or _is_address(host)):
            request.setResponseCode(403)
            return b"This is part of a local emulator of SageMaker; use that one's address.\n"
        return render(self, request)

    twisted.WebsocketResourceDecorator.render = checked


def _user_of(port: int, server: int) -> int | None:
    """The user whose process holds that end of a connection over loopback; None when nobody does (any more)."""
    table = Path("/proc/net/tcp").read_text("ascii")  # one line a socket, thousands where much has just been closed
    found = table.find(f" 0100007F:{port:04X} 0100007F:{server:04X} ")
    if found < 0:
        return None
    fields = table[found : table.index("\n", found)].split()
    return int(fields[6]) if fields[8] != "0" else None  # user and inode; that is 0 once its process has closed it


def _users_are_known() -> bool:
    """Whether this kernel tells."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as connection:
            try:
                return _user_of(connection.getsockname()[1], address[1]) == os.getuid()
            except (OSError, ValueError, IndexError):
                return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _keep_objects_in(folder: Path) -> None:
    """Objects would be in /tmp/localstack-s3-storage, which two instances, or two users, cannot share."""
    from localstack.services.s3 import provider  # type: ignore[import-not-found]

    folder.mkdir(parents=True, exist_ok=True)
    provider.DEFAULT_S3_TMP_DIR = str(folder)


def _look_no_host_up() -> None:
    """Its S3 asks the DNS for "s3." + its own host; the answer decides only between two names of loopback."""
    from localstack.utils.aws import aws_stack  # type: ignore[import-not-found]

    aws_stack.CACHE_S3_HOSTNAME_DNS_STATUS = False


def _keep_the_index(folder: Path) -> None:
    """Its index of all operations of AWS takes 5 s and 350 MB to make: made once, it stays with the environment."""
    from localstack.aws import spec  # type: ignore[import-not-found]

    from localstack import config  # type: ignore[import-not-found]

    index = folder / spec._get_catalog_filename()
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = index.with_suffix(f".{os.getpid()}")
        program = "import sys; from localstack.aws import spec; spec.build_service_index_cache(sys.argv[1])"
        # In a process of its own, which gives the memory back.
        subprocess.run([sys.executable, "-c", program, str(unfinished)], stdin=subprocess.DEVNULL, check=True)
        unfinished.replace(index)
    config.dirs.static_libs = str(folder)


def main(folder: Path) -> None:
    """Run until a signal or the end of stdin; `folder` is where it may write, and goes with it."""
    _listen_on_loopback_only()
    _answer_this_user_only()
    _keep_objects_in(folder / "objects")
    _look_no_host_up()
    _keep_the_index(Path(sys.prefix) / "index")
    from localstack.runtime.main import main as run_localstack  # type: ignore[import-not-found]

    threading.Thread(target=_end_with_the_parent, args=(folder,), daemon=True).start()
    run_localstack()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
