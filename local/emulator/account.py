"""The account that everything belongs to: how AWS names resources and log streams in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

ACCOUNT_ID = "000000000000"
TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@dataclass(frozen=True)
class Account:
    """An account in a region."""

    region: str
    account_id: str = ACCOUNT_ID

    def arn(self, kind: str, name: str) -> str:
        """The resource's ARN. AWS writes the name in lower case there, and so names are unique without case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account_id}:{kind}/{name.lower()}"

    def log_stream_arn(self, group: str, stream: str) -> str:
        """The ARN of a CloudWatch log stream."""
        return f"arn:aws:logs:{self.region}:{self.account_id}:log-group:{group}:log-stream:{stream}"

    def console_url(self, group: str) -> str:
        """Where AWS's error texts send the reader for a log group."""
        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home"
            f"?region={self.region}#logEventViewer:group={group}"
        )


def training_log_stream(job: str, host: str, start: datetime) -> str:
    """The stream of one host of a training job, as AWS names it."""
    return f"{job}/{host}-{int(start.timestamp())}"


def endpoint_log_group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
