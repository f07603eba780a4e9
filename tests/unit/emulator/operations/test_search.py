"""Search of training jobs: which are found, in which order, on which page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.errors import NotImplementedHere, ValidationError
from emulator.operations import OPERATIONS
from emulator.store.port import Kind, Resource

Search = Callable[..., list[str]]
START = datetime(2025, 3, 1, 12, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:000000000000:training-job"


def channel(name: str, uri: str) -> dict[str, Any]:
    """An element of InputDataConfig."""
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


@pytest.fixture
def made(emulator: Callable[..., SimpleNamespace]) -> SimpleNamespace:
    """An emulator with four jobs."""
    made = emulator()
    jobs: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
        ("alpha", "Completed", {"Project": "films", "a.b": "dotted"}, {
            "HyperParameters": {"rate": "0.5", "k": "8", "name": '"x"'},
            "FinalMetricDataList": [{"MetricName": "test:rmse", "Value": 0.9, "Timestamp": START}],
            "InputDataConfig": [channel("train", "s3://a/cats"), channel("test", "s3://b/dogs")],
            "TrainingTimeInSeconds": 10,
        }),
        ("beta", "Failed", {"Project": "films"}, {
            "HyperParameters": {"rate": "1.7", "k": "9"},
            "FailureReason": "AlgorithmError: no memory, exit code: 1",
            "InputDataConfig": [channel("train", "s3://b/dogs"), channel("test", "s3://a/cats")],
            "TrainingTimeInSeconds": 9,
        }),
        ("gamma", "Completed", {"Project": "books"}, {
            "FinalMetricDataList": [{"MetricName": "test:rmse", "Value": 0.95, "Timestamp": START}],
            "EnableManagedSpotTraining": True,
        }),
        ("delta", "InProgress", {}, {}),
    ]  # fmt: skip
    for minute, (name, status, tags, document) in enumerate(jobs):
        time = START + timedelta(minutes=minute, milliseconds=250)
        document |= {"SecondaryStatus": status, "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"}}
        document |= {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1 + minute}}
        made.store.create(Resource(Kind.TRAINING_JOB, name, f"{ARN}/{name}", time, time, document, status), tags)
    return made


@pytest.fixture
def answer(made: SimpleNamespace) -> Callable[..., dict[str, Any]]:
    """Calls Search."""
    return lambda **parameters: OPERATIONS["Search"](made.context, {"Resource": "TrainingJob", **parameters})


@pytest.fixture
def search(answer: Callable[..., dict[str, Any]]) -> Search:
    """The names of the jobs that one filter finds, oldest first."""

    def find(name: str, operator: str | None = None, value: str | None = None) -> list[str]:
        given = {"Name": name, "Operator": operator, "Value": value}
        expression = {"Filters": [{k: v for k, v in given.items() if v is not None}]}
        return names(answer(SearchExpression=expression, SortBy="CreationTime", SortOrder="Ascending"))

    return find


def names(answer: dict[str, Any]) -> list[str]:
    """Those of the jobs that were found."""
    return [result["TrainingJob"]["TrainingJobName"] for result in answer["Results"]]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("TrainingJobName", "Equals", "alpha"), ["alpha"]),
        (("TrainingJobName", None, "alpha"), ["alpha"]),
        (("TrainingJobName", "NotEquals", "alpha"), ["beta", "gamma", "delta"]),
        (("TrainingJobName", "Contains", "lta"), ["delta"]),
        (("TrainingJobName", "In", "alpha, delta,nothing"), ["alpha", "delta"]),
        (("TrainingJobStatus", "Equals", "Completed"), ["alpha", "gamma"]),
        (("FailureReason", "Exists"), ["beta"]),
        (("FailureReason", "NotExists"), ["alpha", "gamma", "delta"]),
        (("FailureReason", "Contains", "memory"), ["beta"]),
        (("FailureReason", "NotEquals", "x"), ["alpha", "beta", "gamma", "delta"]),
        (("Tags.Project", "Equals", "films"), ["alpha", "beta"]),
        (("Tags.Project", "Exists"), ["alpha", "beta", "gamma"]),
        (("Tags.a.b", "Equals", "dotted"), ["alpha"]),
        (("Tags.Project", "NotEquals", "films"), ["gamma", "delta"]),
        (("Metrics.test:rmse", "GreaterThan", "0.9"), ["gamma"]),
        (("Metrics.test:rmse", "GreaterThanOrEqualTo", "0.9"), ["alpha", "gamma"]),
        (("Metrics.test:rmse", "LessThan", "1"), ["alpha", "gamma"]),
        (("HyperParameters.rate", "LessThan", "0.6"), ["alpha"]),
        (("HyperParameters.rate", "GreaterThan", "1"), []),  # 1.7 counts as 1
        (("HyperParameters.rate", "GreaterThan", "1.0"), ["beta"]),
        (("HyperParameters.k", "Equals", "8"), ["alpha"]),
        (("HyperParameters.k", "Equals", "8.0"), ["alpha"]),
        (("HyperParameters.k", "LessThan", "10"), ["alpha", "beta"]),  # as numbers, not as text
        (("HyperParameters.name", "Equals", '"x"'), ["alpha"]),
        (("TrainingTimeInSeconds", "GreaterThan", "9"), ["alpha"]),
        (("TrainingTimeInSeconds", "Equals", "9.0"), ["beta"]),
        (("ResourceConfig.InstanceCount", "LessThanOrEqualTo", "2"), ["alpha", "beta"]),
        (("EnableManagedSpotTraining", "Equals", "true"), ["gamma"]),
        (("InputDataConfig.ChannelName", "Equals", "train"), ["alpha", "beta"]),
        (("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "cats"), ["alpha", "beta"]),
        (("CreationTime", "LessThan", "2025-03-01T12:01:00"), ["alpha"]),
        (("CreationTime", "Equals", "2025-03-01T12:01:00"), ["beta"]),  # the second, whatever its milliseconds
        (("CreationTime", "GreaterThanOrEqualTo", "2025-03-01T14:02:00+02:00"), ["gamma", "delta"]),
    ],
)
def test_filters(search: Search, given: tuple[str, ...], found: list[str]) -> None:
    """Each operator, over each kind of property."""
    assert search(*given) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("Colour", "Equals", "red"), "Unknown property name: Colour."),
        (("TrainingJobName", "Equals"), "needs a Value"),
        (("TrainingJobName", "GreaterThan", "a"), "not supported for the property TrainingJobName, which is text"),
        (("TrainingTimeInSeconds", "GreaterThan", "ten"), "cannot be compared with 'ten'"),
        (("TrainingTimeInSeconds", "Contains", "1"), "only supported for text properties"),
        (("CreationTime", "LessThan", "yesterday"), "use yyyy-MM-dd'T'HH:mm:ss"),
    ],
)
def test_filters_that_make_no_sense(search: Search, given: tuple[str, ...], said: str) -> None:
    """A ValidationException that names the property."""
    with pytest.raises(ValidationError) as raised:
        search(*given)
    assert said in raised.value.message


def test_expressions_are_joined(answer: Callable[..., dict[str, Any]]) -> None:
    """By And unless told otherwise, and to any depth."""
    completed = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": "Completed"}
    films = {"Name": "Tags.Project", "Operator": "Equals", "Value": "films"}
    spot = {"Name": "EnableManagedSpotTraining", "Operator": "Equals", "Value": "true"}
    order = {"SortBy": "CreationTime", "SortOrder": "Ascending"}

    def find(**expression: Any) -> list[str]:
        return names(answer(SearchExpression=expression, **order))

    assert find(Filters=[completed, films]) == ["alpha"]
    assert find(Filters=[completed, films], Operator="Or") == ["alpha", "beta", "gamma"]
    assert find(Filters=[films], SubExpressions=[{"Filters": [completed, spot], "Operator": "Or"}]) == ["alpha"]
    assert find() == ["alpha", "beta", "gamma", "delta"]
    contains = {"Name": "TrainingJobName", "Operator": "Contains", "Value": "a"}
    with pytest.raises(ValidationError, match=r"^'CONTAINS' operator usage limit of 1 exceeded\.$"):
        find(Filters=[contains], SubExpressions=[{"Filters": [contains]}])


def test_a_nested_filter_is_about_one_element(answer: Callable[..., dict[str, Any]]) -> None:
    """One and the same channel has to satisfy all of its filters."""
    filters = [
        {"Name": "InputDataConfig.ChannelName", "Operator": "Equals", "Value": "train"},
        {"Name": "InputDataConfig.DataSource.S3DataSource.S3Uri", "Operator": "Contains", "Value": "cats"},
    ]
    nested = {"NestedPropertyName": "InputDataConfig", "Filters": filters}
    assert names(answer(SearchExpression={"NestedFilters": [nested]})) == ["alpha"]


def test_the_order(answer: Callable[..., dict[str, Any]]) -> None:
    """The last changed first; numbers as numbers; what has no such property last, either way."""
    assert names(answer()) == ["delta", "gamma", "beta", "alpha"]
    assert names(answer(SortBy="TrainingJobName", SortOrder="Ascending")) == ["alpha", "beta", "delta", "gamma"]
    by_metric = {"SortBy": "Metrics.test:rmse"}
    assert names(answer(**by_metric))[:2] == ["gamma", "alpha"]
    assert names(answer(**by_metric, SortOrder="Ascending"))[:2] == ["alpha", "gamma"]
    assert names(answer(SortBy="TrainingTimeInSeconds"))[:2] == ["alpha", "beta"]
    with pytest.raises(ValidationError, match="Unknown property name: Colour"):
        answer(SortBy="Colour")


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("sort_by", ["CreationTime", "TrainingJobStatus", "Metrics.test:rmse", "Tags.Project"])
def test_pages(answer: Callable[..., dict[str, Any]], made: SimpleNamespace, sort_by: str, order: str) -> None:
    """One at a time, each once; also when the last one that was shown is gone. The token belongs to its request."""
    request = {"SortBy": sort_by, "SortOrder": order}
    expected, seen, token = names(answer(**request)), [], {}
    for _ in range(4):
        page = answer(**request, MaxResults=1, **token)
        assert page["TotalHits"] == {"Value": 4 - len(seen), "Relation": "EqualTo"}
        seen += names(page)
        made.store.delete(made.store.get(Kind.TRAINING_JOB, seen[-1]))
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    assert (seen, token) == (expected, {})


def test_a_token_of_another_search_is_refused(answer: Callable[..., dict[str, Any]]) -> None:
    """As those of lists."""
    token = answer(MaxResults=1)["NextToken"]
    with pytest.raises(ValidationError, match="Invalid NextToken"):
        answer(SortBy="TrainingJobName", NextToken=token)


def test_a_result_is_what_describe_shows_with_tags(
    answer: Callable[..., dict[str, Any]], made: SimpleNamespace
) -> None:
    """The same values, defaults included."""
    found = answer(SearchExpression={"Filters": [{"Name": "TrainingJobName", "Value": "gamma"}]})["Results"][0]
    described = OPERATIONS["DescribeTrainingJob"](made.context, {"TrainingJobName": "gamma"})
    assert found == {"TrainingJob": {**described, "Tags": [{"Key": "Project", "Value": "books"}]}}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"Resource": "Experiment"}, "Resource = 'Experiment'"),
        ({"CrossAccountFilterOption": "CrossAccount"}, "CrossAccountFilterOption = 'CrossAccount'"),
        ({"VisibilityConditions": [{"Key": "a", "Value": "b"}]}, "VisibilityConditions"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    answer: Callable[..., dict[str, Any]], parameters: dict[str, Any], named: str
) -> None:
    """Other resources, other accounts."""
    with pytest.raises(NotImplementedHere) as raised:
        answer(**parameters)
    assert named in raised.value.message
