"""What the steps of a run work with, wherever it runs: clients, and the SDK with its session."""

from __future__ import annotations

from dataclasses import dataclass

from runner import aws
from runner.aws import Clients
from runner.settings import Settings
from runner.sm_learner import SageMakerLearner, on_instances


@dataclass(frozen=True)
class Platform:
    """Where models are trained and served."""

    clients: Clients
    learner: SageMakerLearner
    answers_cli: bool = True  # whether there is an API that the AWS CLI can call


def behind_the_api(settings: Settings) -> Platform:
    """SageMaker behind AWS's API: that of AWS, or of the emulator."""
    clients = aws.clients(settings.region)
    return Platform(clients, SageMakerLearner(settings, on_instances(settings, clients.session)))
