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
    ("contents/metrics.json/training_seconds", "contents/metrics.json/evaluation_and_export_seconds"),
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

# Why the SDK's local mode differs is its own affair (sagemaker.local.image, SDK 2.257): it cannot be mended here.
OUTPUT = ("assignments-train.csv", "assignments-test.csv", "metrics.json", "probe.json")
SDK_HOST = r"algo-1-\w{5}"
SDK_HOSTS = "each host has a random suffix, so that jobs can share the one network of local mode"
SDK_RESOURCES = ("current_host", "hosts/0")
SDK_GROUPS = "local mode's resourceconfig.json knows neither groups of instances nor the name of the one there is"
SDK_CHANNELS = "local mode's inputdataconfig.json has the input mode only"

SDK: dict[str, tuple[Difference, ...]] = {
    "metrics": (
        MEASURED,
        Difference(
            "metrics of the log",
            ("metrics_of_the_log", "metrics_of_the_log/*"),
            "local mode does not read metrics out of the lines",
            rf"\{{\}}|{NOT_THERE}",
        ),
    ),
    "output.tar.gz": (
        MEASURED_BY_THE_SCRIPT,
        Difference(
            "what is packed",
            ("names/data/", *(f"names/data/{name}" for name in OUTPUT), "names/success", "contents/success"),
            "local mode packs all of /opt/ml/output, with the toolkit's file `success`; SageMaker packs output/data",
            reference=NOT_THERE,
        ),
        Difference(
            "what is packed without a folder",
            tuple(f"names/{name}" for name in OUTPUT),
            "it lies in output/data, and so in the folder data of what local mode packs",
            here=NOT_THERE,
        ),
    ),
    "predictions": (
        Difference(
            "the AWS CLI's answers",
            ("invocations/cli/*",),
            "local mode has no API that the AWS CLI could call",
            NOT_THERE,
            r"\d",
        ),
    ),
    "environment": (
        CREDENTIALS,
        Difference(
            "address of S3",
            ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
            "local mode tells its containers the address of its S3; it has no other service of AWS to tell of",
            rf"http://\d+\.\d+\.\d+\.\d+:\d+|{NOT_THERE}",
            rf"http://\d+\.\d+\.\d+\.\d+:\d+|{NOT_THERE}",
        ),
        Difference("region", ("AWS_DEFAULT_REGION",), "local mode sets AWS_REGION only", NOT_THERE, "us-east-1"),
        Difference("job's ARN", ("TRAINING_JOB_ARN",), "a job of local mode has none", NOT_THERE, "arn:aws:.*JOB"),
        Difference("terminal", ("TERM",), "local mode gives its containers a terminal", "xterm", NOT_THERE),
        Difference(
            "container's host name",
            ("HOSTNAME",),
            "local mode leaves it to Docker, and gives the network another name",
            "[0-9a-f]{12}",
            "algo-1",
        ),
        Difference(
            "name of the host",
            (
                *("CURRENT_HOST", "SM_CURRENT_HOST", "SM_HOSTS/0"),
                *(f"SM_RESOURCE_CONFIG/{key}" for key in SDK_RESOURCES),
                *(f"SM_TRAINING_ENV/{key}" for key in (*SDK_RESOURCES, "master_hostname")),
                *(f"SM_TRAINING_ENV/resource_config/{key}" for key in SDK_RESOURCES),
            ),
            SDK_HOSTS,
            SDK_HOST,
            "algo-1",
        ),
        Difference(
            "instance type",
            (
                *("SM_CURRENT_INSTANCE_TYPE", "SM_RESOURCE_CONFIG/current_instance_type"),
                *("SM_TRAINING_ENV/current_instance_type", "SM_TRAINING_ENV/resource_config/current_instance_type"),
            ),
            "its name is how the SDK is told to use local mode",
            "local",
            r"ml\.m5\.xlarge",
        ),
        Difference(
            "instance groups",
            (
                *("SM_CURRENT_INSTANCE_GROUP_HOSTS", "SM_CURRENT_INSTANCE_GROUP_HOSTS/0"),
                *("SM_INSTANCE_GROUPS", "SM_INSTANCE_GROUPS/0"),
                *("SM_INSTANCE_GROUPS_DICT", "SM_INSTANCE_GROUPS_DICT/homogeneousCluster/*"),
                *("SM_RESOURCE_CONFIG/current_group_name", "SM_RESOURCE_CONFIG/instance_groups/0/*"),
                "SM_TRAINING_ENV/current_instance_group_hosts",
                "SM_TRAINING_ENV/current_instance_group_hosts/0",
                *("SM_TRAINING_ENV/instance_groups", "SM_TRAINING_ENV/instance_groups/0"),
                "SM_TRAINING_ENV/instance_groups_dict",
                "SM_TRAINING_ENV/instance_groups_dict/homogeneousCluster/*",
                "SM_TRAINING_ENV/resource_config/current_group_name",
                "SM_TRAINING_ENV/resource_config/instance_groups/0/*",
            ),
            SDK_GROUPS,
            rf"\[\]|\{{\}}|{NOT_THERE}",
            rf"algo-1|homogeneousCluster|ml\.m5\.xlarge|{NOT_THERE}",
        ),
        Difference(
            "hosts of a distribution",
            ("SM_TRAINING_ENV/distribution_hosts", "SM_TRAINING_ENV/distribution_hosts/0"),
            "the toolkit takes all hosts where there are no groups, else those of groups with a distribution",
            rf"{SDK_HOST}|{NOT_THERE}",
            rf"\[\]|{NOT_THERE}",
        ),
        Difference(
            "description of channels",
            tuple(
                f"{variable}/{channel}/{name}"
                for variable in ("SM_INPUT_DATA_CONFIG", "SM_TRAINING_ENV/input_data_config")
                for channel in ("train", "test")
                for name in ("RecordWrapperType", "S3DistributionType")
            ),
            SDK_CHANNELS,
            NOT_THERE,
            "None|FullyReplicated",
        ),
    ),
    "/opt/ml": (
        Difference(
            "name of the host",
            tuple(f"input/config/resourceconfig.json/content/{key}" for key in SDK_RESOURCES),
            SDK_HOSTS,
            SDK_HOST,
            "algo-1",
        ),
        Difference(
            "instance type",
            ("input/config/resourceconfig.json/content/current_instance_type",),
            "its name is how the SDK is told to use local mode",
            "local",
            r"ml\.m5\.xlarge",
        ),
        Difference(
            "instance groups",
            (
                "input/config/resourceconfig.json/content/current_group_name",
                "input/config/resourceconfig.json/content/instance_groups/0/*",
            ),
            SDK_GROUPS,
            NOT_THERE,
            r"algo-1|homogeneousCluster|ml\.m5\.xlarge",
        ),
        Difference(
            "description of channels",
            ("input/config/inputdataconfig.json/content/*",),
            SDK_CHANNELS,
            NOT_THERE,
            "None|FullyReplicated",
        ),
    ),
}

DIFFERENCES: dict[str, dict[str, tuple[Difference, ...]]] = {"venv": VENV, "sdk": SDK}
