"""What a user of the SageMaker SDK's version 2 writes for an image of his own: fit, attach, deploy, predict, delete."""

from __future__ import annotations

import json
import sys
from typing import Any

import sagemaker
from sagemaker.deserializers import BytesDeserializer, JSONDeserializer, StringDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, IdentitySerializer, JSONLinesSerializer, JSONSerializer
from sagemaker.session import Session

QUICKLY = {"Delay": 1, "MaxAttempts": 60}


def main(bucket: str, image: str, role: str) -> None:
    """Print one line of JSON with what came out, after the SDK's own output."""
    session = Session(default_bucket=bucket)
    estimator = Estimator(
        image_uri=image,
        role=role,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
        base_job_name=f"{bucket}-generic",
        output_path=f"s3://{bucket}/jobs",
        hyperparameters={"lines": 20},
        metric_definitions=[{"Name": "words", "Regex": r"\[test\] words=([0-9]+);"}],
        tags=[{"Key": "team", "Value": "words"}],
    )
    estimator.fit({"train": TrainingInput(f"s3://{bucket}/words/")}, logs="All")
    attached = Estimator.attach(estimator.latest_training_job.name, sagemaker_session=session)
    predictor = attached.deploy(  # waits: the SDK looks after 30 seconds for the first time
        1,
        "ml.m5.large",
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
        endpoint_name=f"{bucket}-generic",
    )
    predictions = predict(predictor)
    predictor.delete_model()
    predictor.delete_endpoint()
    modelled = deploy_a_model(session, image, role, estimator.model_data)
    client = session.sagemaker_client
    client.get_waiter("endpoint_deleted").wait(EndpointName=predictor.endpoint_name, WaiterConfig=QUICKLY)
    job = session.describe_training_job(estimator.latest_training_job.name)
    left = [client.list_models(NameContains=bucket)["Models"]]
    left += [client.list_endpoint_configs(NameContains=bucket)["EndpointConfigs"]]
    left += [client.list_endpoints(NameContains=bucket)["Endpoints"]]
    print()  # the SDK ends its row of dashes with no new line
    print(
        json.dumps(
            {
                "version": sagemaker.__version__,
                "model_data": estimator.model_data,
                "attached": [attached.model_data, attached.hyperparameters()],
                "metrics": [[metric["MetricName"], metric["Value"]] for metric in job["FinalMetricDataList"]],
                "predictions": predictions,
                "modelled": modelled,
                "left": left,
            }
        )
    )


def predict(predictor: Predictor) -> dict[str, Any]:
    """The same endpoint through several serializers, and its error."""
    seen: dict[str, Any] = {"json": predictor.predict({"a": [1, 2]})}
    predictor.serializer = CSVSerializer()
    seen["csv"] = predictor.predict([[1, 2], [3, 4]])
    predictor.serializer = JSONLinesSerializer()
    seen["lines"] = predictor.predict([{"a": 1}, {"a": 2}])
    predictor.serializer, predictor.deserializer = IdentitySerializer("text/plain"), StringDeserializer()
    seen["text"] = json.loads(predictor.predict("größer", target_variant="AllTraffic", inference_id="one"))
    try:
        predictor.predict("refuse")
    except predictor.sagemaker_session.sagemaker_runtime_client.exceptions.ModelError as error:
        seen["error"] = error.response["OriginalMessage"]
    return seen


def deploy_a_model(session: Session, image: str, role: str, data: str) -> dict[str, Any]:
    """Model.deploy, a Predictor made from the endpoint's name, and another model in the endpoint's place."""
    model = Model(
        image, data, role, env={"GREETING": "hello"}, sagemaker_session=session, name=f"{session.default_bucket()}-m"
    )
    model.deploy(1, "ml.m5.large", endpoint_name=model.name, wait=False)
    session.sagemaker_client.get_waiter("endpoint_in_service").wait(EndpointName=model.name, WaiterConfig=QUICKLY)
    predictor = Predictor(model.name, session, IdentitySerializer("text/plain"), BytesDeserializer())
    answer = json.loads(predictor.predict(b"one"))
    other = Model(image, data, role, env={"GREETING": "again"}, sagemaker_session=session, name=f"{model.name}2")
    other.create("ml.m5.large")
    config = session.describe_endpoint(model.name)["EndpointConfigName"]
    predictor.update_endpoint(1, "ml.m5.large", model_name=other.name, wait=False)
    session.sagemaker_client.get_waiter("endpoint_in_service").wait(EndpointName=model.name, WaiterConfig=QUICKLY)
    updated = json.loads(predictor.predict(b"two"))
    predictor.delete_model()
    predictor.delete_endpoint()
    model.delete_model()
    session.delete_endpoint_config(config)
    session.sagemaker_client.get_waiter("endpoint_deleted").wait(EndpointName=model.name, WaiterConfig=QUICKLY)
    return {"before": [answer["greeting"], answer["body"]], "after": [updated["greeting"], updated["body"]]}


if __name__ == "__main__":
    main(*sys.argv[1:4])
