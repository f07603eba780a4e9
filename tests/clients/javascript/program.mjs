// What a user of the AWS SDK for JavaScript writes: a model, its endpoint, invocations, lists, errors; S3 objects.
import assert from "node:assert/strict";

import { CloudWatchLogsClient, GetLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  AddTagsCommand,
  CreateEndpointCommand,
  CreateEndpointConfigCommand,
  CreateModelCommand,
  CreateTrainingJobCommand,
  DeleteEndpointCommand,
  DeleteEndpointConfigCommand,
  DeleteModelCommand,
  DescribeEndpointCommand,
  DescribeTrainingJobCommand,
  ResourceInUse,
  SageMakerClient,
  SageMakerServiceException,
  paginateListModels,
  paginateListTags,
  waitUntilEndpointDeleted,
  waitUntilEndpointInService,
  waitUntilTrainingJobCompletedOrStopped,
} from "@aws-sdk/client-sagemaker";
import {
  InvokeEndpointCommand,
  InvokeEndpointWithResponseStreamCommand,
  ModelError,
  SageMakerRuntimeClient,
} from "@aws-sdk/client-sagemaker-runtime";

const [bucket, image, role] = process.argv.slice(2);
const s3 = new S3Client({});
const sagemaker = new SageMakerClient({});
const runtime = new SageMakerRuntimeClient({});
const quickly = { client: sagemaker, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };

async function failure(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  assert.fail("a call that must fail did not");
}

async function objects() {
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "words/a.txt", Body: "größer" }));
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: "words/a.txt" }));
  const missing = await failure(s3.send(new GetObjectCommand({ Bucket: bucket, Key: "nothing" })));
  return { text: await object.Body.transformToString(), missing: missing.name };
}

async function train() {
  const name = `${bucket}-job`;
  const source = { S3DataType: "S3Prefix", S3Uri: `s3://${bucket}/words/` };
  const request = {
    TrainingJobName: name,
    RoleArn: role,
    AlgorithmSpecification: { TrainingImage: image, TrainingInputMode: "File" },
    InputDataConfig: [{ ChannelName: "train", DataSource: { S3DataSource: source } }],
    OutputDataConfig: { S3OutputPath: `s3://${bucket}/jobs` },
    ResourceConfig: { InstanceType: "ml.m5.large", InstanceCount: 1, VolumeSizeInGB: 30 },
    StoppingCondition: { MaxRuntimeInSeconds: 600 },
  };
  await sagemaker.send(new CreateTrainingJobCommand(request));
  const taken = await failure(sagemaker.send(new CreateTrainingJobCommand(request)));
  const waited = await waitUntilTrainingJobCompletedOrStopped(quickly, { TrainingJobName: name });
  const job = await sagemaker.send(new DescribeTrainingJobCommand({ TrainingJobName: name }));
  assert.ok(job.CreationTime instanceof Date && job.TrainingEndTime >= job.TrainingStartTime);
  return { state: waited.state, taken: [taken.name, taken instanceof ResourceInUse], model: job.ModelArtifacts };
}

async function deploy(model) {
  const name = `${bucket}-endpoint`;
  const container = { Image: image, ModelDataUrl: model, Environment: { GREETING: "hello" } };
  const made = { ModelName: name, PrimaryContainer: container, ExecutionRoleArn: role };
  const { ModelArn } = await sagemaker.send(new CreateModelCommand(made));
  const variant = { VariantName: "a", ModelName: name, InstanceType: "ml.m5.large", InitialInstanceCount: 1 };
  await sagemaker.send(new CreateEndpointConfigCommand({ EndpointConfigName: name, ProductionVariants: [variant] }));
  await sagemaker.send(new CreateEndpointCommand({ EndpointName: name, EndpointConfigName: name }));
  const waited = await waitUntilEndpointInService(quickly, { EndpointName: name });
  return { name, arn: ModelArn, state: waited.state };
}

async function invoke(name) {
  const request = { EndpointName: name, ContentType: "text/plain", Accept: "application/json", CustomAttributes: "a=b" };
  const answer = await runtime.send(new InvokeEndpointCommand({ ...request, Body: "größer" }));
  const refused = await failure(runtime.send(new InvokeEndpointCommand({ ...request, Body: "refuse" })));
  assert.ok(refused instanceof ModelError);
  const { name: error, OriginalStatusCode, OriginalMessage, LogStreamArn } = refused;
  const streamed = await runtime.send(new InvokeEndpointWithResponseStreamCommand({ ...request, Body: "piece" }));
  const decoder = new TextDecoder();
  let text = "";
  for await (const event of streamed.Body) {
    text += decoder.decode(event.PayloadPart.Bytes, { stream: true });
  }
  return {
    body: JSON.parse(decoder.decode(answer.Body)),
    streamed: JSON.parse(text).body,
    type: answer.ContentType,
    variant: answer.InvokedProductionVariant,
    attributes: answer.CustomAttributes,
    refused: { error, OriginalStatusCode, OriginalMessage, status: refused.$metadata.httpStatusCode },
    log: LogStreamArn.split(":log-group:")[1].split(":log-stream:"),
  };
}

async function lines([logGroupName, logStreamName]) {
  const logs = new CloudWatchLogsClient({});
  const events = await logs.send(new GetLogEventsCommand({ logGroupName, logStreamName }));
  return events.events.map((event) => event.message);
}

async function lists(arn) {
  const names = [];
  for (let number = 0; number < 5; number++) {
    const name = `${bucket}-${number}`;
    await sagemaker.send(new CreateModelCommand({ ModelName: name, PrimaryContainer: { Image: image } }));
    names.push(name);
  }
  const pages = [];
  for await (const page of paginateListModels({ client: sagemaker, pageSize: 2 }, { NameContains: `${bucket}-` })) {
    pages.push(page.Models.map((model) => model.ModelName));
  }
  await sagemaker.send(new AddTagsCommand({ ResourceArn: arn, Tags: [{ Key: "team", Value: "words" }] }));
  const tags = [];
  for await (const page of paginateListTags({ client: sagemaker }, { ResourceArn: arn })) {
    tags.push(...page.Tags);
  }
  for (const ModelName of names) {
    await sagemaker.send(new DeleteModelCommand({ ModelName }));
  }
  return { pages, tags };
}

async function remove(name) {
  await sagemaker.send(new DeleteModelCommand({ ModelName: name }));
  await sagemaker.send(new DeleteEndpointConfigCommand({ EndpointConfigName: name }));
  await sagemaker.send(new DeleteEndpointCommand({ EndpointName: name }));
  const waited = await waitUntilEndpointDeleted(quickly, { EndpointName: name });
  const gone = await failure(sagemaker.send(new DescribeEndpointCommand({ EndpointName: name })));
  assert.ok(gone instanceof SageMakerServiceException);
  return { state: waited.state, name: gone.name, message: gone.message, status: gone.$metadata.httpStatusCode };
}

const stored = await objects();
const trained = await train();
const deployed = await deploy(trained.model.S3ModelArtifacts);
const invoked = await invoke(deployed.name);
const listed = await lists(deployed.arn);
const removed = await remove(deployed.name);
const logged = await lines(invoked.log);
console.log(JSON.stringify({ stored, trained, deployed, invoked, listed, removed, logged }));
