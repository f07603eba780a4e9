"""What a user of the SageMaker SDK's version 2 writes for TensorFlow: script mode, then AWS's inference container."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sagemaker.multidatamodel import MultiDataModel
from sagemaker.serializers import CSVSerializer
from sagemaker.session import Session
from sagemaker.tensorflow import TensorFlow, TensorFlowModel

QUICKLY = {"Delay": 1, "MaxAttempts": 60}
SCRIPT = """
import argparse
import os

import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=float)
arguments, _ = parser.parse_known_args()


class Scale(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="values")])
    def __call__(self, values):
        return {"scaled": values * arguments.factor}


scale = Scale()
print("words:", sorted(open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], name)).read() for name in ("a.txt", "b.txt")))
tf.saved_model.save(scale, os.path.join(os.environ["SM_MODEL_DIR"], "1"), signatures=scale.__call__)
print("factor=%s;" % arguments.factor)
"""


def main(bucket: str, role: str) -> None:
    """Print one line of JSON with what came out, after the SDK's own output."""
    session = Session(default_bucket=bucket)
    Path("train.py").write_text(SCRIPT, "utf-8")
    estimator = TensorFlow(
        entry_point="train.py",
        role=role,
        instance_count=1,
        instance_type="ml.m5.large",
        framework_version="2.14.1",
        py_version="py310",
        sagemaker_session=session,
        hyperparameters={"factor": 2.5},
        metric_definitions=[{"Name": "factor", "Regex": "factor=([0-9.]+);"}],
    )
    estimator.fit({"train": f"s3://{bucket}/words/"})
    model = TensorFlowModel(
        estimator.model_data, role=role, framework_version="2.14.1", sagemaker_session=session, name=f"{bucket}-tf"
    )
    predictor = model.deploy(1, "ml.m5.large", wait=False, endpoint_name=model.name)
    client = session.sagemaker_client
    client.get_waiter("endpoint_in_service").wait(EndpointName=model.name, WaiterConfig=QUICKLY)
    rows = predictor.predict({"instances": [[1.0, 2.0], [3.0, 4.0]]})
    predictor.serializer = CSVSerializer()
    csv = predictor.predict([[1.0, 2.0]])
    predictor.delete_model()
    predictor.delete_endpoint()
    client.get_waiter("endpoint_deleted").wait(EndpointName=model.name, WaiterConfig=QUICKLY)
    first = estimator.model_data
    factor = session.describe_training_job(estimator.latest_training_job.name)["FinalMetricDataList"][0]["Value"]
    estimator.set_hyperparameters(factor=-1.0)
    estimator.fit({"train": f"s3://{bucket}/words/"}, logs=False)
    multi = several_models(session, f"{bucket}-multi", role, {"scale": first, "minus": estimator.model_data})
    print()
    print(json.dumps({"rows": rows, "csv": csv, "factor": factor, "multi": multi, "model_data": first}))


def several_models(session: Session, name: str, role: str, archives: dict[str, str]) -> dict[str, Any]:
    """One endpoint that loads each model when it is asked for it."""
    model = TensorFlowModel(archives["scale"], role=role, framework_version="2.14.1", sagemaker_session=session)
    prefix = f"s3://{session.default_bucket()}/multi/"
    several = MultiDataModel(name, prefix, model=model, sagemaker_session=session)
    for each, archive in archives.items():
        several.add_model(archive, f"{each}.tar.gz")
    predictor = several.deploy(1, "ml.m5.large", wait=False)
    session.sagemaker_client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICKLY)
    models = sorted(several.list_models())
    rows = {
        each: predictor.predict({"instances": [[1.0, 2.0]]}, initial_args={"TargetModel": each})["predictions"]
        for each in models
    }
    predictor.delete_model()
    predictor.delete_endpoint()
    return {"models": models, "rows": rows}


if __name__ == "__main__":
    main(*sys.argv[1:3])
