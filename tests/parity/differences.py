"""The differences between the engines that must be, by name, each with its reason. Any other fails the test.

Each says how the engine differs from the Docker engine; one that no longer occurs fails as well.
What every run has a name of its own for (the job, the folder that is /opt/ml) is in `observed.own_names`.
"""

from __future__ import annotations

from comparison import ABSENT, Difference

NOT_THERE = r"\(not there\)"
assert ABSENT == "(not there)"
SECONDS = r"\d+(\.\d+)?"

MEASURED = Difference(
    "measured time",
    ("seconds", "metrics/training_seconds", "metrics/evaluation_and_export_seconds"),
    "how long it took is another number each time, and now and then the same",
    SECONDS,
    SECONDS,
    sometimes=True,
)
MEASURED_BY_THE_SCRIPT = Difference(
    "measured time in metrics.json",
    ("*metrics.json/training_seconds", "*metrics.json/evaluation_and_export_seconds"),
    MEASURED.why,
    SECONDS,
    SECONDS,
    sometimes=True,
)
CREDENTIALS = Difference(
    "credentials",
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "they are random for each start of the emulator",
    r"[\w-]{20,40}",
    r"[\w-]{20,40}",
)

VENV: dict[str, tuple[Difference, ...]] = {
    "metrics": (MEASURED,),
    "output.tar.gz": (MEASURED_BY_THE_SCRIPT,),
    "environment": (
        CREDENTIALS,
        Difference(
            "address of the emulator",
            ("AWS_ENDPOINT_URL",),
            "a process finds it on loopback; a container has a loopback of its own, and uses the bridge's gateway",
            r"http://127\.0\.0\.1:\d+",
            r"http://\d+\.\d+\.\d+\.\d+:\d+",
        ),
        Difference(
            "base folder",
            ("SAGEMAKER_BASE_DIR",),
            "tells AWS's toolkits, and our launcher, which folder is /opt/ml; in a container it is /opt/ml",
            "/opt/ml",
            NOT_THERE,
        ),
        Difference(
            "home and temporary folder",
            ("HOME", "TMPDIR"),
            "folders of the job's own, removed with it, where a container has a file system of its own",
            r"/opt/ml/(home|tmp)",
            rf"/tmp|{NOT_THERE}",
        ),
        Difference(
            "virtual environment",
            ("PATH", "PYTHONPATH", "VIRTUAL_ENV"),
            "the packages lie in the user's cache folder, and Python and programs are the machine's, not the image's",
        ),
        Difference(
            "marks of the engine",
            ("SAGEMAKER_REHEARSAL_PROCESS", "UV", "UV_SYSTEM_CERTS"),
            "by the first leftover processes are found; uv installs a script's requirements, for lack of pip",
            reference=NOT_THERE,
        ),
        Difference(
            "the image's language and bytecode",
            ("LC_ALL", "PYTHONDONTWRITEBYTECODE"),
            "an image has UTF-8 texts and writes no bytecode; a process of this machine follows the user's language",
            NOT_THERE,
            r"C\.UTF-8|1",
        ),
        Difference(
            "host name",
            ("HOSTNAME",),
            "a container is a host of its own, of that name; processes share the machine's, which they are not told",
            NOT_THERE,
            "algo-1",
        ),
        Difference(
            "network interface",
            ("SM_NETWORK_INTERFACE_NAME", "SM_RESOURCE_CONFIG/*", "SM_TRAINING_ENV/*"),
            "the hosts of a job are addresses of loopback",
            "lo",
            "eth0",
        ),
    ),
    "process": (
        Difference(
            "AWS's toolkit",
            tuple(
                f"packages/{name}"
                for name in (
                    *("sagemaker-training", "sagemaker-tensorflow-training", "pip", "bcrypt", "gevent", "greenlet"),
                    *("inotify-simple", "invoke", "paramiko", "psutil", "pynacl", "retrying"),
                    *("zope.event", "zope.interface"),
                )
            ),
            "AWS's `train`, and what it needs (a compiler, for one), are in the image only; the venv engine has a "
            "launcher with the same contract",
            NOT_THERE,
        ),
        Difference(
            "setuptools' own copies",
            tuple(
                f"packages/{name}"
                for name in (
                    *("autocommand", "backports.tarfile", "importlib-metadata", "jaraco.context", "jaraco.functools"),
                    *("jaraco.text", "more-itertools", "platformdirs", "tomli", "zipp"),
                )
            ),
            "AWS's toolkit loads setuptools, which puts them at the end of the path that the script inherits",
            NOT_THERE,
        ),
        Difference(
            "patch version of Python",
            ("python",),
            "the machine's 3.11, and the base image's",
            r"3\.11\.\d+",
            r"3\.11\.\d+",
            sometimes=True,
        ),
    ),
    "/opt/ml": (
        Difference(
            "home and temporary folder",
            ("home/*", "tmp/*"),
            "where a container has a file system of its own",
            reference=NOT_THERE,
        ),
        Difference(
            "network interface",
            ("input/config/resourceconfig.json/*",),
            "the hosts of a job are addresses of loopback",
            "lo",
            "eth0",
        ),
    ),
}

DIFFERENCES: dict[str, dict[str, tuple[Difference, ...]]] = {"venv": VENV}
