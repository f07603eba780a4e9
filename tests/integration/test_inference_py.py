"""Models with code of their own, deployed as their users do it: by the SageMaker SDK, and for many models at once."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated import BUCKET, ROLE, SERVING_IMAGE, Emulated, private_emulator, unique
from endpoints import delete, in_service
from platformdirs import user_cache_dir

from emulator.environments import Environments

ROOT = Path(__file__).parents[2]
IMAGES = ("--images", str(ROOT / "docker/images.toml"))

# As in AWS's examples: the input handler makes JSON of whatever comes, the output handler adds to the answer.
INFERENCE = """
import json
from halves import half

def input_handler(data, context):
    assert context.request_content_type == "text/words"
    assert int(context.grpc_port) and bool(context.channel) == (context.model_name is None)  # none for many models
    return json.dumps({"instances": [half(word) for word in data.read().decode().split()]})

def output_handler(response, context):
    answer = response.json()
    return json.dumps({"status": response.status_code, **answer, "accept": context.accept_header}), "text/answer"
"""
HALVES = "def half(word):\n    return float(word) / 2\n"
# A user's whole program; nothing in it is there for the emulator.
PROGRAM = f"""
import json, sys
import boto3, sagemaker
from sagemaker.tensorflow import TensorFlowModel

session = sagemaker.Session(boto3.Session(), default_bucket="{BUCKET}")
model = TensorFlowModel(
    model_data=sys.argv[1], role="{ROLE}", framework_version="2.14.1", name=sys.argv[2],
    entry_point="inference.py", source_dir="code", dependencies=["halves.py"], sagemaker_session=session,
)
predictor = model.deploy(1, "ml.m5.large", endpoint_name=sys.argv[2], wait=False)
client = session.sagemaker_client
client.get_waiter("endpoint_in_service").wait(EndpointName=sys.argv[2], WaiterConfig={{"Delay": 1, "MaxAttempts": 120}})
answer = session.sagemaker_runtime_client.invoke_endpoint(
    EndpointName=sys.argv[2], Body=b"2.0 4.0", ContentType="text/words", Accept="text/any"
)
print(json.dumps([answer["ContentType"], json.load(answer["Body"])]))
model.delete_model()
predictor.delete_endpoint()
"""


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """An emulator with the project's images, and a model `{"y": x / 2 + …}` of two versions in S3."""
    environments = Environments(Path(user_cache_dir("sagemaker-rehearsal")) / "environments", print)
    python = environments.python("tensorflow-inference", ROOT / "docker/tensorflow-inference/requirements.txt")
    folder = tmp_path_factory.mktemp("saved_models")
    builder = ROOT / "tests/images/model_server/build_models.py"
    subprocess.run([str(python), str(builder), str(folder)], check=True, timeout=200, capture_output=True)
    with private_emulator(tmp_path_factory.mktemp("inference-py"), IMAGES) as emulated:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for version in (folder / "several" / "half_plus").iterdir():
                archive.add(version, version.name)
        s3 = emulated.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="models/half_plus.tar.gz", Body=file.getvalue())
        yield emulated


def test_the_sdks_entry_point(emulated: Emulated, tmp_path: Path) -> None:
    """TensorFlowModel(entry_point=…, dependencies=…) repacks it; its handlers answer, with what they import."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(INFERENCE)
    (tmp_path / "halves.py").write_text(HALVES)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"s3://{BUCKET}/models/half_plus.tar.gz", unique("coded")],
        cwd=tmp_path,
        env=emulated.environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content_type, answer = json.loads(done.stdout.splitlines()[-1])
    assert content_type == "text/answer"
    assert answer == {"status": 200, "predictions": [3.5, 4.0], "accept": "text/any"}


def test_universal_code(emulated: Emulated) -> None:
    """One inference.py for all models of an endpoint, fetched from S3 by the variables of AWS's container."""
    s3 = emulated.client("s3")
    for name, text in (("inference.py", INFERENCE), ("halves.py", HALVES), ("more/not.py", "")):
        s3.put_object(Bucket=BUCKET, Key=f"universal/{name}", Body=text.encode())
    name = unique("universal")
    sagemaker = emulated.client("sagemaker")
    variables = {"BUCKET": BUCKET, "PREFIX": "universal/"}
    container = {
        "Image": SERVING_IMAGE,
        "ModelDataUrl": f"s3://{BUCKET}/models/",
        "Mode": "MultiModel",
        "Environment": {f"SAGEMAKER_MULTI_MODEL_UNIVERSAL_{key}": value for key, value in variables.items()},
    }
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    in_service(sagemaker, name)
    answer = emulated.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, TargetModel="half_plus.tar.gz", ContentType="text/words", Body=b"2.0"
    )
    assert json.loads(answer["Body"].read())["predictions"] == [3.5]
    delete(sagemaker, name)
