"""How many instances a request may ask for: AWS has a quota for each type, and this machine an end."""

from __future__ import annotations

from emulator.errors import ResourceLimitExceeded

INSTANCES = 100  # of a job or an endpoint; each is a process or container here. AWS's own default is 20 for most types


def check_instances(usage: str, instance_type: str, current: int, wanted: int) -> None:
    """Raise ResourceLimitExceeded, in AWS's words, for more than there may be; `usage`: of a training job, say."""
    if wanted > INSTANCES:
        raise ResourceLimitExceeded(
            f"The account-level service limit '{instance_type} for {usage} usage' is {INSTANCES} Instances, with "
            f"current utilization of {current} Instances and a request delta of {wanted - current} Instances. "
            "Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not "
            "available, contact AWS support to request an increase for this quota."
        )
