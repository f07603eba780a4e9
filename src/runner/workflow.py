"""The steps of the workflow, from films and ratings to the removed endpoint. Nothing here knows the mode."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import SubprocessError

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from filelock import AcquireReturnProxy, FileLock, Timeout
from rich.text import Text

from runner import (
    analysis,
    endpoint,
    invoke,
    local_spark,
    preprocess,
    services,
    shards,
    source,
    spark_input,
    summary,
    training_job,
    training_output,
)
from runner import upload as s3_upload
from runner.data import Dataset
from runner.errors import RunnerError, SettingsError
from runner.evaluate import HeldOut, hold_out
from runner.platform import Platform
from runner.preprocess import Split
from runner.processing_job import ProcessingJob
from runner.progress import Progress
from runner.remove import remove
from runner.report import Report
from runner.settings import Settings
from runner.sm_learner import preload

# What the outside world raises: AWS, the SDK's uploads, files, the AWS CLI.
OUTSIDE = (BotoCoreError, ClientError, Boto3Error, OSError, SubprocessError)


@dataclass
class Workflow:
    """One run: each method is a step, and the fields are what steps found for later ones."""

    settings: Settings
    environment: MutableMapping[str, str]
    progress: Progress
    report: Report
    back_end: services.Services
    cleanups: list[Callable[[], None]] = field(default_factory=list)  # to be called in reverse
    local_spark: local_spark.LocalSpark | None = field(init=False)
    platform: Platform = field(init=False)
    dataset: Dataset = field(init=False)
    split: Split = field(init=False)
    held_out: HeldOut = field(init=False)
    users: source.NewUsers = field(init=False)

    def run(self) -> None:
        """Every step in order; `clean_up` is due afterwards, whatever happens."""
        self.cleanups.append(self.stop)
        self.local_spark = local_spark.choose(self.settings, self.environment)
        preload()
        if self.settings.preprocess == "spark":
            self.connect()
            with self.matrix_folder():
                channels = self.preprocess_on_spark()
        else:
            self.prepare()
            self.back_end.check()
            with self.matrix_folder():
                files = self.preprocess()
                self.connect()
                channels = self.upload(files)
        self.cleanups.append(self.remove)
        trained = analysis.Trained(self.split, self.train(channels), self.dataset.scale)
        self.deploy()
        clusters = self.predict()
        self.evaluate(trained)
        self.recommend(trained, clusters)
        if self.settings.keep_endpoint:
            self.report.endpoint = self.report.run_name

    def clean_up(self) -> list[str]:
        """Undo what was made, the last first; one that fails does not keep the others from it. Returns what failed."""
        problems = []
        if died := self.back_end.died():
            problems.append(died)
            self.cleanups = [self.stop]
        for undo in reversed(self.cleanups):
            try:
                undo()
            except (RunnerError, *OUTSIDE) as error:
                problems.append(str(error))
            except Exception as error:  # noqa: BLE001  # whatever it is, what follows must be undone
                problems.append(f"{type(error).__name__}: {error}")
        return problems

    def prepare(self) -> None:
        """Read films and ratings, or make them up."""
        with self.progress.step("generate" if not self.settings.ratings else "read"):
            self.dataset = source.load(self.settings, self.progress.share)
            self.tell_of_data()

    def tell_of_data(self) -> None:
        """Say what there is, and what was skipped."""
        self.report.dataset = {**self.dataset.counts, "skipped": dict(self.dataset.skipped)}
        for line in summary.dataset(self.dataset):
            self.progress.line(line)

    def matrix_folder(self) -> AcquireReturnProxy[FileLock]:
        """Hold the matrix's folder: a second run in the same place waits until the first has uploaded its own."""
        folder = self.settings.training_data_path
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            self.progress.line(f"another run is writing {folder}; waiting for it")
            return lock.acquire()

    def preprocess(self) -> list[Path]:
        """Write the ratings matrix as shards."""
        with self.progress.step("preprocess"):
            settings = self.settings
            matrix = preprocess.to_matrix(self.dataset)
            self.split = preprocess.split(matrix, settings.test_split_ratio, settings.seed)
            self.check_split()
            return shards.write_shards(self.split, settings.training_data_path, advance=self.progress.share)

    def preprocess_on_spark(self) -> dict[str, str]:
        """Do what `prepare`, `preprocess` and `upload` do, with Spark for the ratings; return the channels' S3 URIs."""
        settings, folder = self.settings, self.settings.training_data_path
        shards.remove_stale(folder)
        with tempfile.TemporaryDirectory(prefix=shards.STAGING, dir=folder) as staging:
            made = Path(staging)
            with self.progress.step("read" if settings.ratings else "generate"):
                self.dataset, given = spark_input.load(settings, made)
            with self.progress.step("preprocess"):
                self.make_bucket()
                way = self.local_spark or ProcessingJob(settings, self.platform, self.report.run_name)
                self.cleanups.append(way.stop)
                uploaded = way.run(given, made, self.progress.line)
                self.cleanups.pop()
                found = spark_input.outcome(given, made)
                files = shards.adopt_shards(made, folder)
                self.split = shards.read_shards(folder)
                self.dataset = spark_input.with_ratings(self.dataset, self.split, found)
                self.tell_of_data()
                self.check_split()
        return _channels(uploaded) if uploaded else self.upload(files)

    def check_split(self) -> None:
        """Make and check what later steps need of the data, before a job and an endpoint are paid for."""
        settings = self.settings
        self.progress.line(summary.split(self.split))
        if settings.num_clusters != "auto" and settings.num_clusters > self.split.train.shape[0]:
            raise SettingsError(
                f"num_clusters = {settings.num_clusters}: there are only {self.split.train.shape[0]} users "
                "to train on. Lower it, or give more users"
            )
        self.held_out = hold_out(self.split.test, settings.seed)
        self.users = source.new_users(settings, self.dataset, self.split)
        invoke.check_payload(self.users.matrix)

    def connect(self) -> None:
        """Wait for the services, and make the clients."""
        with self.progress.step("connect"):
            connection = self.back_end.connect()
            self.report.engine = connection.engine
            self.progress.line(f"engine {connection.engine}: {connection.reason}")
            self.platform = self.back_end.platform(self.settings)

    def upload(self, files: list[Path]) -> dict[str, str]:
        """Upload the shards; returns the S3 URI of each channel."""
        settings = self.settings
        uri = f"s3://{settings.bucket_name}/{settings.bucket_prefix}/{self.report.run_name}/data"
        with self.progress.step("upload"):
            self.make_bucket()
            s3_upload.upload_files(self.platform.clients.s3, files, settings.training_data_path, uri)
            self.progress.line(f"{len(files)} files to {uri}")
        return _channels(uri)

    def make_bucket(self) -> None:
        """Make the bucket when it is missing."""
        if s3_upload.ensure_bucket(self.platform.clients.s3, self.settings.bucket_name, self.settings.region):
            self.progress.line(f"made bucket {self.settings.bucket_name}")

    def train(self, channels: dict[str, str]) -> training_output.TrainingOutput:
        """Run the training job to its end, showing its log; a run that is cut short stops it."""
        name, clients = self.report.run_name, self.platform.clients
        with self.progress.step("train"):
            self.cleanups.append(partial(training_job.stop, clients.sagemaker, name))
            self.platform.learner.fit(name, channels)
            job = training_job.wait(
                (clients.sagemaker, clients.logs), name, self.settings.poll_seconds, self.progress.line
            )
            self.cleanups.pop()
            output = training_output.fetch(clients.s3, job.output)
            self.report.training = {
                "job_name": job.job_name,
                "metrics": output.metrics,
                "metrics_of_the_log": job.metrics,
                "model_artifact": job.model_artifact,
                "seconds": job.seconds,
            }
            for line in summary.cluster_count(output.metrics):
                self.progress.line(line)
        return output

    def deploy(self) -> None:
        """Deploy the endpoint and wait until it is in service."""
        name = self.report.run_name
        with self.progress.step("deploy"):
            self.platform.learner.deploy(name)
            endpoint.wait_until_in_service(self.platform.clients.sagemaker, name, self.settings.poll_seconds)
            self.progress.line(f"endpoint {name} is in service")

    def predict(self) -> list[int]:
        """Ask for the clusters of the new users, in three ways."""
        with self.progress.step("predict"):
            platform, name = self.platform, self.report.run_name
            shell = invoke.CommandLine(self.environment, self.settings.region) if platform.answers_cli else None
            predict, ratings = platform.learner.predict, self.users.matrix
            answers = invoke.all_ways(predict, platform.clients.runtime, shell, name, invoke.request_for(ratings))
            self.report.invocations = answers.cluster_indices()
            self.report.predictions = answers.predictor
            for way, clusters in self.report.invocations.items():
                self.progress.line(f"{way:9} clusters {clusters}")
            if shell is None:
                self.progress.line("the AWS CLI was not asked: the SDK's local mode has no API that it could call")
            of_length, of_film = invoke.check_single_vectors(predict, ratings[:1], answers.predictor[0])
            self.progress.line(f"a vector of a wrong length is refused: {of_length}")
            self.progress.line(f"a rating of an unknown film is refused: {of_film}")
            return self.report.invocations["predictor"]

    def evaluate(self, trained: analysis.Trained) -> None:
        """Score the clustering."""
        with self.progress.step("evaluate"):
            runtime, num_clusters = self.platform.clients.runtime, len(self.report.predictions[0]["distances"])
            self.report.evaluation = analysis.evaluate(
                trained,
                self.dataset,
                self.held_out,
                lambda rows: invoke.cluster_indices(runtime, self.report.run_name, rows, num_clusters),
            )
            for line in summary.evaluation(self.report.evaluation):
                self.progress.line(line)

    def recommend(self, trained: analysis.Trained, clusters: list[int]) -> None:
        """Recommend films to the new users, and show each cluster's best and worst."""
        with self.progress.step("recommend"):
            sample = analysis.Sample(self.users, clusters)
            self.report.recommendations = analysis.recommendations(trained, sample, self.settings)
            self.report.clusters = analysis.clusters(trained, self.settings)
        self.progress.show(summary.findings(self.report.recommendations, self.report.clusters))

    def remove(self) -> None:
        """Remove model, endpoint configuration and endpoint, unless the run got through and was told to keep them."""
        name = self.report.run_name
        if self.report.endpoint:
            body = self.settings.report_dir / summary.BODY
            body.parent.mkdir(parents=True, exist_ok=True)
            body.write_bytes(invoke.encode(invoke.request_for(self.users.matrix)))
            self.progress.show(Text(summary.kept(name, self.settings)))
            return
        with self.progress.step("remove"):
            removal = remove(self.platform.clients.sagemaker, name, self.settings.poll_seconds, self.progress.line)
            self.report.removed = removal.complete
            if not removal.complete:
                raise RunnerError(summary.not_removed(name, removal))
            self.progress.line("endpoint, endpoint configuration and model are gone")

    def stop(self) -> None:
        """Stop what the run started."""
        with self.progress.step("stop"):
            self.back_end.stop(keep=self.report.endpoint is not None)

    def finish(self) -> None:
        """Show the table of steps and write the report. Raises RunnerError when it cannot be written."""
        self.report.steps = self.progress.steps
        self.progress.show(self.progress.table())
        try:
            path = self.report.write(self.settings.report_dir)
        except OSError as error:
            elsewhere = self.report.write(Path(tempfile.mkdtemp(prefix="report-")))
            raise RunnerError(
                f"report_dir = {self.settings.report_dir}: the report cannot be written ({error}). It is in {elsewhere}"
            ) from None
        self.progress.line(f"report: {path}")


def _channels(uri: str) -> dict[str, str]:
    """The S3 URI of each channel of the training job, below that of the data."""
    return {part: f"{uri}/{part}" for part in shards.PARTS}
