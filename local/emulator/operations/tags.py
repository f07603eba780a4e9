"""AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from emulator.errors import ApiError, ResourceLimitExceeded, ValidationError
from emulator.operations.context import TAGS_A_RESOURCE, Answer, Context, Parameters, missing, to_list, to_map
from emulator.store.port import Kind, NotFound


def add_tags(context: Context, parameters: Parameters) -> Answer:
    """Add or overwrite tags; answers with all of them."""
    arn, tags = parameters["ResourceArn"], to_map(parameters["Tags"])
    try:
        if len({**context.store.tags(arn), **tags}) > TAGS_A_RESOURCE:
            raise ResourceLimitExceeded(f"A resource can have at most {TAGS_A_RESOURCE} tags.")
        return {"Tags": to_list(context.store.tag(arn, tags))}
    except NotFound:
        raise _missing(arn) from None


def list_tags(context: Context, parameters: Parameters) -> Answer:
    """All tags: a resource has no more than fit on AWS's smallest page, so there is never another one."""
    if "NextToken" in parameters:
        raise ValidationError("Invalid NextToken: it does not belong to this request.")
    try:
        return {"Tags": to_list(context.store.tags(parameters["ResourceArn"]))}
    except NotFound:
        raise _missing(parameters["ResourceArn"]) from None


def delete_tags(context: Context, parameters: Parameters) -> Answer:
    """Remove the tags of those keys."""
    try:
        context.store.untag(parameters["ResourceArn"], parameters["TagKeys"])
    except NotFound:
        raise _missing(parameters["ResourceArn"]) from None
    return {}


def _missing(arn: str) -> ApiError:
    kind = arn.rpartition(":")[2].partition("/")[0]
    if kind in {member.value for member in Kind}:
        return missing(Kind(kind), arn)
    return ValidationError(f"The emulator has no resource of the kind of {arn}.")
