"""`python -m model_server`: serve the SavedModels in $SAGEMAKER_BASE_DIR/model (default /opt/ml/model).

Environment: SAGEMAKER_BIND_TO_PORT (8080; 0 takes a free port), SAGEMAKER_TFS_DEFAULT_MODEL_NAME,
SAGEMAKER_TFS_INTER_OP_PARALLELISM, SAGEMAKER_TFS_INTRA_OP_PARALLELISM, SAGEMAKER_TFS_ENABLE_BATCHING with
SAGEMAKER_TFS_MAX_BATCH_SIZE, _BATCH_TIMEOUT_MICROS, _NUM_BATCH_THREADS and _MAX_ENQUEUED_BATCHES,
SAGEMAKER_TFS_WAIT_TIME_SECONDS (for the start), SAGEMAKER_SAFE_PORT_RANGE (for gRPC),
SAGEMAKER_MULTI_MODEL (true: serve what POST /models names instead),
SAGEMAKER_MULTI_MODEL_UNIVERSAL_BUCKET and _PREFIX (where the code is, unless it is in the tree), and of this server
only MODEL_SERVER_HOST (127.0.0.1; 0.0.0.0 in a container), MODEL_SERVER_NPY (true: takes and gives application/x-npy as
well) and, in multi-model mode, MODEL_SERVER_MODEL_BYTES (what the models' files may take together).
SIGTERM ends it with status 0; a model or setting that cannot be used with status 1 and the reason on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from functools import partial
from types import FrameType

from model_server import settings as settings_module
from model_server import standby
from model_server.batching import Scheduler
from model_server.catalogue import LoadedModel
from model_server.errors import StartError
from model_server.saved_models import SavedModel
from model_server.server import Server
from model_server.tensorflow_session import Parallelism, SessionServable


def main() -> int:
    """Run the server; the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="model_server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--standby", action="store_true", help="wait on stdin to be told environment and folder")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Before TensorFlow is imported: its notes on CPU instructions and missing GPUs help nobody here. Errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if options.standby and not standby.wait(sys.stdin.buffer, os.environ):
        return 0
    try:
        settings = settings_module.from_environment(os.environ, os.cpu_count() or 1)
        if settings.without_meaning:
            logging.info("Set, but without meaning in this model server: %s", ", ".join(settings.without_meaning))
        parallelism = Parallelism(settings.inter_op_threads, settings.intra_op_threads)
        scheduler = Scheduler(settings.batching) if settings.batching else None
        if settings.batching:
            logging.info("Batching is enabled: %s", settings.batching)

        def load(model: SavedModel) -> LoadedModel:
            servable = SessionServable(model.path, parallelism)
            return scheduler.batched(servable) if scheduler else servable

        server = Server(settings, load, partial(importlib.import_module, "tensorflow"))

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        server.run()
    except StartError as error:
        print(f"model_server: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: TensorFlow may be in the middle of its import or of a run in another thread, and taking the
    # interpreter down around it can hang or abort.
    os._exit(status)
