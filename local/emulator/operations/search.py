"""Search, of training jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from emulator.operations.context import Answer, Context, Parameters, to_list
from emulator.operations.paging import identity
from emulator.operations.search_expression import Expression, Expressions, values
from emulator.operations.support import Supported
from emulator.operations.training_jobs import description
from emulator.store.port import Kind, Listing, NotFound, Resource, position

SEARCH = Supported(
    "Search",
    works=[
        "Resource",
        "SearchExpression",
        "SortBy",
        "SortOrder",
        "NextToken",
        "MaxResults",
        "CrossAccountFilterOption",
    ],
    notes={"Resource": "`TrainingJob`", "CrossAccountFilterOption": "`SameAccount`"},
)

DEFAULT_MAX_RESULTS = 10
_AT_ONCE = 500  # resources that are read in one go
# The members of AWS's shape TrainingJob; Metrics, besides them, are those of FinalMetricDataList by name.
_PROPERTIES = frozenset(
    """
    TrainingJobName TrainingJobArn TuningJobArn LabelingJobArn AutoMLJobArn ModelArtifacts TrainingJobStatus
    SecondaryStatus FailureReason HyperParameters AlgorithmSpecification RoleArn InputDataConfig OutputDataConfig
    ResourceConfig WarmPoolStatus VpcConfig StoppingCondition CreationTime TrainingStartTime TrainingEndTime
    LastModifiedTime SecondaryStatusTransitions FinalMetricDataList EnableNetworkIsolation
    EnableInterContainerTrafficEncryption EnableManagedSpotTraining CheckpointConfig TrainingTimeInSeconds
    BillableTimeInSeconds DebugHookConfig ExperimentConfig DebugRuleConfigurations TensorBoardOutputConfig
    DebugRuleEvaluationStatuses OutputModelPackageArn ModelPackageConfig ProfilerConfig Environment RetryStrategy
    Tags Metrics
    """.split()  # noqa: SIM905 - forty names are better read as lines of text
)
_EXPRESSIONS = Expressions(_PROPERTIES)

Place = tuple[int, float, str]  # what is sorted by: numbers and times, then text, then what has no such property


def search(context: Context, parameters: Parameters) -> Answer:
    """The jobs that satisfy the expression, those changed last at first unless told otherwise."""
    SEARCH.check(parameters)
    for name, implemented in (("Resource", "TrainingJob"), ("CrossAccountFilterOption", "SameAccount")):
        if parameters.get(name, implemented) != implemented:
            raise SEARCH.refusal(name, parameters[name])
    expression = parameters.get("SearchExpression", {})
    sort_by = parameters.get("SortBy", "LastModifiedTime")
    _EXPRESSIONS.check(expression)
    _EXPRESSIONS.check_name(sort_by)
    request = identity("search", parameters)
    token = parameters.get("NextToken")
    after = context.tokens.read(request, token) if token else None

    found: list[tuple[Place, str]] = []
    for job in _jobs(context, expression):
        described = _described(context, job, with_tags=_EXPRESSIONS.speaks_of("Tags", expression, sort_by))
        if _EXPRESSIONS.satisfied(expression, described):
            found.append((_place(values(described, sort_by)), job.name))
    descending = parameters.get("SortOrder", "Descending") == "Descending"
    found.sort(reverse=descending)
    found.sort(key=lambda each: each[0][0] == _MISSING)  # last, either way
    begin = 0 if after is None else _behind(found, after, descending=descending)
    limit = parameters.get("MaxResults", DEFAULT_MAX_RESULTS)
    page = found[begin : begin + limit]
    answer: Answer = {
        "Results": [{"TrainingJob": record} for _, name in page for record in _record(context, name)],
        "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
    }
    if begin + limit < len(found):
        place, name = page[-1]
        answer["NextToken"] = context.tokens.write(request, (json.dumps(place), name))
    return answer


_MISSING = 2


def _place(found: list[Any]) -> Place:
    value = found[0] if found else None
    if isinstance(value, datetime):
        return 0, value.timestamp(), ""
    if isinstance(value, bool | int | float):
        return 0, float(value), ""
    return (_MISSING, 0.0, "") if value is None else (1, 0.0, str(value))


def _behind(places: list[tuple[Place, str]], after: tuple[str, str], *, descending: bool) -> int:
    """The index of the first that comes behind the last one of the page before, which may have changed or be gone."""
    rank, number, text = json.loads(after[0])
    last = ((int(rank), float(number), str(text)), after[1])
    for index, here in enumerate(places):
        missing = (last[0][0] == _MISSING, here[0][0] == _MISSING)
        if missing == (False, True) or (missing[0] == missing[1] and (here < last if descending else here > last)):
            return index
    return len(places)


def _jobs(context: Context, expression: Expression) -> Iterator[Resource]:
    """All training jobs that can satisfy the expression, some at a time."""
    listing = Listing(limit=_AT_ONCE)
    if expression.get("Operator", "And") == "And":
        for each in expression.get("Filters", ()):
            # The store can do these by itself, without a look at each job.
            if each["Name"] == "TrainingJobStatus" and each.get("Operator", "Equals") == "Equals":
                listing = replace(listing, status=each["Value"])
            elif each["Name"] == "TrainingJobName" and each.get("Operator", "Equals") in ("Equals", "Contains"):
                listing = replace(listing, name_contains=each["Value"])
    while True:
        jobs = context.store.list(Kind.TRAINING_JOB, listing)
        yield from jobs
        if len(jobs) < _AT_ONCE:
            return
        listing = replace(listing, after=position(jobs[-1], "CreationTime"))


def _described(context: Context, job: Resource, *, with_tags: bool) -> Mapping[str, Any]:
    """A job's description, with its tags and metrics by name."""
    described = description(job)
    described["Metrics"] = {each["MetricName"]: each["Value"] for each in described.get("FinalMetricDataList", ())}
    if with_tags:
        with suppress(NotFound):  # deleted just now
            described["Tags"] = context.store.tags(job.arn)
    return described


def _record(context: Context, name: str) -> list[dict[str, Any]]:
    """What is shown of the job of that name; nothing if it was deleted just now."""
    try:
        job = context.store.get(Kind.TRAINING_JOB, name)
        return [{**description(job), "Tags": to_list(context.store.tags(job.arn))}]
    except NotFound:
        return []
