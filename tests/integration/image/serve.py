"""A serving program of the standard library only: answers with the model's words; some words make it misbehave."""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class Handler(BaseHTTPRequestHandler):
    """/ping and /invocations."""

    def do_GET(self) -> None:
        """Healthy, unless told otherwise."""
        self.send_response(500 if os.environ.get("UNHEALTHY") else 200)
        self.end_headers()

    def do_POST(self) -> None:
        """Say what came in, and what the model says."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            print("dying", flush=True)
            os._exit(7)
        if body == b"refuse":
            self._answer(400, b'{"error": "refused"}')
            return
        file = BASE / "model/words.json"
        words = json.loads(file.read_text("utf-8")) if file.exists() else None
        answer = {
            "words": words,
            "body": body.decode(),
            "content_type": self.headers["Content-Type"],
            "accept": self.headers["Accept"],
            "attributes": self.headers[ATTRIBUTES],
            "greeting": os.environ.get("GREETING"),
        }
        self._answer(200, json.dumps(answer).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header(ATTRIBUTES, "served=yes")
        self.end_headers()
        self.wfile.write(body)


if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(int(os.environ.get("LINES", "0"))):
    print(f"line {number}")
if os.environ.get("CRASH"):
    sys.exit("no model can be loaded")
print("serving", flush=True)
ThreadingHTTPServer(
    (os.environ.get("SERVE_HOST", "127.0.0.1"), int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler
).serve_forever()
