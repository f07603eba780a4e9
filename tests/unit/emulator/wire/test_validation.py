"""Violations in AWS's own words."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.errors import ValidationError
from emulator.wire.model import service_model
from emulator.wire.validation import validate


def message(operation: str, parameters: dict[str, Any], service: str = "sagemaker") -> str:
    """What is said about the parameters."""
    with pytest.raises(ValidationError) as caught:
        validate(parameters, service_model(service).operation_model(operation).input_shape)
    return caught.value.message


def training_job(**changes: Any) -> dict[str, Any]:
    """The least that CreateTrainingJob accepts, changed."""
    return {
        "TrainingJobName": "job",
        "RoleArn": "arn:aws:iam::000000000000:role/role",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def test_accepts_what_is_right() -> None:
    """The least complete request passes."""
    validate(training_job(), service_model("sagemaker").operation_model("CreateTrainingJob").input_shape)


def test_a_name_too_long_and_malformed_has_two_errors() -> None:
    """Several errors are counted and joined, length before pattern."""
    name = "a_" * 40
    assert message("DescribeModel", {"ModelName": name}) == (
        f"2 validation errors detected: Value '{name}' at 'modelName' failed to satisfy constraint: Member must have "
        f"length less than or equal to 63; Value '{name}' at 'modelName' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?"
    )


def test_what_is_required_must_not_be_null() -> None:
    """A missing member is a null to AWS, also a nested one."""
    parameters = training_job(OutputDataConfig={})
    del parameters["RoleArn"]
    assert message("CreateTrainingJob", parameters) == (
        "2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
        "Value null at 'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must not be null"
    )


def test_numbers_and_enums() -> None:
    """Numbers have values, not lengths; an enum lists what it allows."""
    wrong = {"InstanceType": "ml.tiny", "InstanceCount": -1, "VolumeSizeInGB": 1}
    text = message("CreateTrainingJob", training_job(ResourceConfig=wrong))
    assert (
        "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: "
        "Member must have value greater than or equal to 0" in text
    )
    assert (
        "Value 'ml.tiny' at 'resourceConfig.instanceType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [ml.m4.xlarge, " in text
    )


def test_members_of_lists_are_counted_from_one() -> None:
    """A structure in a list is named with its index and `member`."""
    text = message(
        "AddTags",
        {
            "ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m",
            "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c"}],
        },
    )
    assert text == (
        "1 validation error detected: Value null at 'tags.2.member.value' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_scalars_in_a_list_are_reported_with_the_list() -> None:
    """AWS echoes the list and all constraints of its members."""
    config = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet_1", "subnet-2"]}
    assert message("CreateTrainingJob", training_job(VpcConfig=config)) == (
        "1 validation error detected: Value '[subnet_1, subnet-2]' at 'vpcConfig.subnets' failed to satisfy "
        "constraint: Member must satisfy constraint: [Member must have length less than or equal to 32, Member must "
        "have length greater than or equal to 0, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
    )


def test_values_of_a_map_are_reported_with_the_map() -> None:
    """AWS echoes the map as Java prints it (seen in public issues on hyperparameters that are too long)."""
    text = message("CreateTrainingJob", training_job(HyperParameters={"a": "1", "b": "x" * 2501}))
    assert text.startswith("1 validation error detected: Value '{a=1, b=xxx")
    assert text.endswith(
        "}' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have "
        "length less than or equal to 2500, Member must have length greater than or equal to 0, Member must satisfy "
        "regular expression pattern: .*]"
    )


def test_keys_of_a_map() -> None:
    """Keys have their own sentence."""
    text = message("CreateTrainingJob", training_job(Environment={"1a": "x"}))
    assert "at 'environment' failed to satisfy constraint: Map keys must satisfy constraint: [" in text


def test_secrets_and_blobs_are_not_echoed() -> None:
    """What is sensitive or binary appears in no message."""
    text = message("InvokeEndpoint", {"EndpointName": "e", "Body": bytes(30_000_000)}, "sagemaker-runtime")
    assert text.startswith("1 validation error detected: Value at 'body' failed to satisfy constraint: Member must ")


def test_unknown_parameters_are_refused_by_name() -> None:
    """Nothing is ignored in silence."""
    assert 'Unknown parameter in input: "Colour"' in message("DescribeModel", {"ModelName": "m", "Colour": "red"})


def test_a_union_wants_one_member() -> None:
    """A union without any is refused."""
    assert "tagged union" in message(
        "CreateAutoMLJobV2",
        {
            "AutoMLJobName": "a",
            "AutoMLJobInputDataConfig": [{}],
            "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
            "RoleArn": "arn:aws:iam::000000000000:role/role",
            "AutoMLProblemTypeConfig": {},
        },
    )
