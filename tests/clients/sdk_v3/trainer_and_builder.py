"""What a user of version 3 of the SageMaker SDK writes: a ModelTrainer for a script, a ModelBuilder to serve it."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

SCRIPT = """
import json
import logging
import os
import sys

words = [open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], name)).read() for name in ("a.txt", "b.txt")]
with open(os.path.join(os.environ["SM_MODEL_DIR"], "words.json"), "w") as file:
    json.dump([word.upper() for word in words], file)
print("arguments:", sys.argv[1:])
print("hosts:", os.environ["SM_HOSTS"], os.environ["SM_CURRENT_HOST"])
"""


def main(bucket: str, image: str, role: str) -> None:
    """Print one line of JSON with what came out, after the SDK's own output."""
    logging.basicConfig(level=logging.INFO)  # the SDK says what it does, and the job its lines, in a log
    session = Session(boto3.Session(), default_bucket=bucket)
    Path("source").mkdir()
    Path("source/train.py").write_text(SCRIPT, "utf-8")
    trainer = ModelTrainer(
        training_image=image,
        role=role,
        source_code=SourceCode(source_dir="source", entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        hyperparameters={"rate": 0.5, "names": ["a", "b"]},
        base_job_name=f"{bucket}-trainer",
        sagemaker_session=session,
    )
    trainer.train(input_data_config=[InputData(channel_name="train", data_source=f"s3://{bucket}/words/")])
    job = trainer._latest_training_job.refresh()
    result = {"status": job.training_job_status, "model": job.model_artifacts.s3_model_artifacts}
    result["served"] = build(session, f"{bucket}-builder", image, role, result["model"])
    print()
    print(json.dumps(result))


def build(session: Session, name: str, image: str, role: str, data: str) -> dict[str, Any]:
    """A model and an endpoint of a ModelBuilder; deploy waits, and looks after 30 seconds for the first time."""
    builder = ModelBuilder(
        s3_model_data_url=data,
        image_uri=image,
        role_arn=role,
        instance_type="ml.m5.large",
        env_vars={"GREETING": "hello"},
        sagemaker_session=session,
    )
    model = builder.build(model_name=name)
    endpoint = builder.deploy(endpoint_name=name, initial_instance_count=1)
    answer = endpoint.invoke(body=json.dumps({"a": 1}), content_type="application/json", accept="application/json")
    body = json.loads(answer.body.read())
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    model.delete()
    return {"words": body["words"], "body": body["body"], "greeting": body["greeting"]}


if __name__ == "__main__":
    main(*sys.argv[1:4])
