"""What a user of the SageMaker SDK writes: fit, deploy, predict, delete. Run as a program of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3
import sagemaker
from sagemaker.tensorflow import TensorFlow

CONFIG = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def main(folder: Path, bucket: str, data: str, role: str) -> None:
    """Print one line of JSON with what came out, after the SDK's own output."""
    boto_session = boto3.session.Session()
    session = sagemaker.Session(boto_session, default_bucket=bucket, sagemaker_config=CONFIG)
    (folder / "script.py").write_text("print('not run by the tests image')\n", "utf-8")
    estimator = TensorFlow(
        entry_point="script.py",
        source_dir=str(folder),
        role=role,
        instance_count=1,
        instance_type="ml.m5.xlarge",
        framework_version="2.14.1",
        py_version="py310",
        sagemaker_session=session,
        hyperparameters={"lines": 40},
        metric_definitions=[{"Name": "words", "Regex": r"\[test\] words=([0-9]+);"}],
    )
    estimator.fit({"train": data}, logs=True)
    predictor = estimator.deploy(1, "ml.m5.xlarge", wait=False)
    client = boto_session.client("sagemaker")
    client.get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1})
    answer = predictor.predict({"instances": [[1.0, 2.0]]})
    predictor.delete_model()
    predictor.delete_endpoint()
    client.get_waiter("endpoint_deleted").wait(EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1})
    left = [client.list_models()["Models"], client.list_endpoint_configs()["EndpointConfigs"]]
    print(json.dumps({"model_data": estimator.model_data, "answer": answer, "left": left}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5])
