"""Multi-model mode: the routes over a real server, and loading and unloading over a fake loader."""

import gc
import json
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from model_server import memory
from model_server.errors import LoadedAlreadyError, NotFoundError, OutOfMemoryError, RequestError, StartError
from model_server.multi_model import MultiModel
from model_server.saved_models import SavedModel

MIB = 2**20


def load(server: Any, name: str, url: Path | str) -> Any:
    """POST /models."""
    return server.request("POST", "/models", json.dumps({"model_name": name, "url": str(url)}))


def invoke(server: Any, name: str, body: str, **headers: str) -> Any:
    """POST /models/NAME/invoke."""
    types = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return server.request("POST", f"/models/{name}/invoke", body, types)


@pytest.fixture
def server(start: Any, tmp_path: Path) -> Any:
    """A server without models, which are to take a MiB at most."""
    environment = {
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "SAGEMAKER_BIND_TO_PORT": "0",
        "SAGEMAKER_MULTI_MODEL": "true",
        "MODEL_SERVER_MODEL_BYTES": str(MIB),
    }
    return start(["-m", "model_server"], **environment).wait_until_listening()


def test_models_come_and_go(server: Any, saved_models: Path) -> None:
    """Loaded, listed, asked, unloaded: with the statuses of AWS's contract."""
    assert server.request("GET", "/ping").status == 200
    assert server.request("GET", "/models").json == {"models": []}
    url = saved_models / "several" / "half_plus"
    assert load(server, "abc", url).status == 200
    assert load(server, "abc", url).status == 409
    shown = {"modelName": "abc", "modelUrl": str(url)}
    assert server.request("GET", "/models").json == {"models": [shown]}
    assert server.request("GET", "/models/abc").json == shown
    answer = invoke(server, "abc", "[[1.0], [2.0]]", Accept="application/json")
    assert answer.status == 200
    assert len(answer.json["predictions"]) == 2
    versions = [
        invoke(server, "abc", "[1.0]", X_Amzn_SageMaker_Custom_Attributes=f"tfs-model-version={n}").json
        for n in (123, 124)
    ]
    assert versions == [{"predictions": [[2.5]]}, {"predictions": [[3.5]]}]
    assert server.request("DELETE", "/models/abc").status == 200
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/invoke")):
        assert server.request(method, f"/models/abc{path}", "{}").status == 404
    assert load(server, "abc", url).status == 200  # again
    assert server.request("DELETE", "/models/abc").status == 200


def test_what_cannot_be_loaded(server: Any, tmp_path: Path) -> None:
    """It is answered for, nothing is left of it, and the server lives on."""
    assert load(server, "x", tmp_path / "none").status == 404
    assert load(server, "x", "relative").status == 400
    for name in ("a/b", "a:b"):
        refused = load(server, name, tmp_path)
        assert (refused.status, repr(name) in refused.error) == (400, True)
    for body in ("", "[]", '{"model_name": "x"}', '{"model_name": 1, "url": "/"}'):
        assert server.request("POST", "/models", body).status == 400
    assert "No SavedModel bundles found" in load(server, "x", tmp_path).error
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(b"broken")
    broken = load(server, "x", tmp_path)
    assert broken.status == 500
    assert "Model x cannot be loaded" in broken.error
    (tmp_path / "1/saved_model.pb").write_bytes(bytes(MIB + 1))
    full = load(server, "x", tmp_path)
    assert full.status == 507
    assert "Memory exhausted" in full.error
    assert server.request("GET", "/models").json == {"models": []}
    nameless = server.request("POST", "/invocations", "{}")
    assert (nameless.status, nameless.error) == (400, "Invocation request does not contain model name.")


class FakeServable:
    """Knows whether it was closed."""

    signatures: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it

    def __init__(self) -> None:
        self.closed = False

    def run(self, signature_name: str, inputs: Any) -> Any:
        """Nobody asks it."""
        raise NotImplementedError

    def definitions(self) -> dict[str, Any]:
        """None."""
        return {}

    def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A model's folder, of ten bytes."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(bytes(10))
    return str(tmp_path)


def models(load: Callable[[SavedModel], Any], available: int = 1000, limit: int = 0) -> MultiModel:
    """With that loader and so many bytes of memory."""
    return MultiModel(load, lambda: available, limit)


def test_a_model_in_use_is_closed_when_it_is_not_any_more(folder: str) -> None:
    """Nobody gets it from the moment that it is unloaded."""
    servable = FakeServable()
    multi = models(lambda _: servable)
    multi.load("a", folder)
    with ThreadPoolExecutor(1) as pool:
        with multi.use("a"):
            unloading = pool.submit(multi.unload, "a")
            while multi.list():
                assert not servable.closed
            with pytest.raises(NotFoundError), multi.use("a"):
                pass
            assert not servable.closed
        unloading.result(10)
    assert servable.closed


def test_a_model_that_leaves_is_there_for_its_own_handlers(folder: str) -> None:
    """Who uses it still finds it by TensorFlow Serving's routes; the same name can be loaded when it is gone."""
    multi = models(lambda _: FakeServable())
    multi.load("a", folder)
    with ThreadPoolExecutor(2) as pool:
        with multi.use("a") as model:
            unloading = pool.submit(multi.unload, "a")
            while multi.list():
                pass
            for refused in (multi.describe, multi.unload):
                with pytest.raises(NotFoundError):
                    refused("a")
            with multi.use("a", even_leaving=True) as same:
                assert same is model
            loading = pool.submit(multi.load, "a", folder)
        unloading.result(10)
        loading.result(10)
    with multi.use("a") as another:
        assert another is not model
    multi.unload("a")
    with pytest.raises(NotFoundError), multi.use("a", even_leaving=True):
        pass


def test_others_requests_do_not_hold_up_the_end(folder: str) -> None:
    """Who asks by TensorFlow Serving's own ways comes in while an invocation is under way, and not after it."""
    multi = models(lambda _: FakeServable())
    multi.load("a", folder)
    with ThreadPoolExecutor(1) as pool, ExitStack() as others:
        with multi.use("a"):
            unloading = pool.submit(multi.unload, "a")
            while multi.list():
                pass
            others.enter_context(multi.catalogue("a"))
        with pytest.raises(NotFoundError), multi.catalogue("a"):
            pass
        assert not unloading.done()
        others.close()
        unloading.result(10)


def test_a_model_is_not_there_before_it_is_loaded(folder: str) -> None:
    """A second request to load it is told so; nobody can ask it, nor unload it."""
    begun, go = threading.Event(), threading.Event()

    def load(_: SavedModel) -> FakeServable:
        begun.set()
        assert go.wait(10)
        return FakeServable()

    multi = models(load)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(multi.load, "a", folder)
        assert begun.wait(10)
        with pytest.raises(LoadedAlreadyError):
            multi.load("a", folder)
        with pytest.raises(NotFoundError):
            multi.unload("a")
        assert multi.list() == []
        go.set()
        loading.result(10)
    assert [model["modelName"] for model in multi.list()] == ["a"]


@pytest.mark.parametrize(("available", "limit"), [(9, 0), (1000, 19)])
def test_memory_that_is_not_there(folder: str, available: int, limit: int) -> None:
    """Neither the machine's nor what the models may take together; an unloaded model makes room."""
    multi = models(lambda _: FakeServable(), available, limit)
    if limit:
        multi.load("a", folder)
    with pytest.raises(OutOfMemoryError, match="Memory exhausted"):
        multi.load("b", folder)
    if limit:
        multi.unload("a")
        multi.load("b", folder)


def test_memory_that_stays_with_the_process_is_there_for_the_next_model(folder: str) -> None:
    """What Linux says is left does not grow when a model is unloaded, but who is loaded next needs no more of it."""
    left = [25]

    def load(_: SavedModel) -> FakeServable:
        left[0] = min(left[0], 25 - 10 * (len(multi.list()) + 1))
        return FakeServable()

    multi = MultiModel(load, lambda: left[0])
    multi.load("a", folder)
    multi.load("b", folder)
    with pytest.raises(OutOfMemoryError):
        multi.load("c", folder)
    multi.unload("a")
    multi.load("c", folder)
    with pytest.raises(OutOfMemoryError):
        multi.load("d", folder)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_of_a_model(folder: str, fails: bool) -> None:
    """Cycles, of which TensorFlow's graphs are made, are gone as well when it is unloaded or could not be loaded."""
    left: list[weakref.ref[FakeServable]] = []

    def load(_: SavedModel) -> FakeServable:
        servable = FakeServable()
        servable.itself = servable  # type: ignore[attr-defined]
        left.append(weakref.ref(servable))
        if fails:
            raise StartError("cannot")
        return servable

    multi = models(load)
    gc.disable()
    try:
        if fails:
            with pytest.raises(RequestError):
                multi.load("a", folder)
        else:
            multi.load("a", folder)
            multi.unload("a")
        assert [reference() for reference in left] == [None]
    finally:
        gc.enable()


def test_memory_is_promised_once(folder: str) -> None:
    """A model that is loading has not taken its memory yet, but will."""
    begun, go = threading.Event(), threading.Event()

    def load(_: SavedModel) -> FakeServable:
        begun.set()
        assert go.wait(10)
        return FakeServable()

    multi = models(load, 19)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(multi.load, "a", folder)
        assert begun.wait(10)
        try:
            with pytest.raises(OutOfMemoryError, match="9 bytes are left"):
                multi.load("b", folder)
        finally:
            go.set()
        loading.result(10)


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [(MemoryError(), OutOfMemoryError), (ResourceExhaustedError(), OutOfMemoryError), (OSError("disk"), RequestError)],
)
def test_loads_that_fail(folder: str, error: Exception, expected: type[RequestError]) -> None:
    """Memory that ran out is told apart, also below an error of ours; what was loaded is closed."""
    (Path(folder) / "2").mkdir()
    (Path(folder) / "2/saved_model.pb").touch()
    first = FakeServable()

    def load(model: SavedModel) -> FakeServable:
        if model.version == 1:
            return first
        raise StartError("cannot") from error

    multi = models(load)
    with pytest.raises(expected) as raised:
        multi.load("a", folder)
    assert raised.value.status == expected.status
    assert first.closed
    assert multi.list() == []


def test_a_load_that_is_broken_off(folder: str) -> None:
    """An exception that is no error leaves no half-loaded model, either, whose name could never be loaded again."""

    def load(_: SavedModel) -> FakeServable:
        raise GeneratorExit

    multi = models(load)
    for _ in range(2):
        with pytest.raises(RequestError, match="cannot be loaded: GeneratorExit"):
            multi.load("a", folder)


def test_available_memory_is_what_linux_says(tmp_path: Path) -> None:
    """The machine's, or what a control group leaves, if less; "max" is no limit, and old pages of files give way."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4 kB\n")
    assert memory.available(tmp_path) == 4096
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("100\n")
    assert memory.available(tmp_path) == 4096
    (group / "memory.max").write_text("1100\n")
    assert memory.available(tmp_path) == 1000
    (group / "memory.stat").write_text("anon 10\ninactive_file 60\nactive_file 20\n")
    assert memory.available(tmp_path) == 1060
    old = group / "memory"
    old.mkdir()
    (old / "memory.limit_in_bytes").write_text("500\n")
    (old / "memory.usage_in_bytes").write_text("300\n")
    (old / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 40\n")
    assert memory.available(tmp_path) == 240
    assert memory.available() > 0
