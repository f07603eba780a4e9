# What a user of the AWS CLI types: objects, a training job, its log, a model, an endpoint, an invocation, the end.
set -euo pipefail
bucket=$1 image=$2 role=$3
name=$bucket-cli
say() { printf '%s\n' "--- $1"; }

say identity
aws sts get-caller-identity --query Account --output text

say s3
mkdir data
echo hello >data/a.txt
echo world >data/b.txt
aws s3 cp --recursive --only-show-errors data "s3://$bucket/cli/"
aws s3 ls --recursive "s3://$bucket/cli/" | awk '{print $4}'
aws s3 cp "s3://$bucket/cli/a.txt" -

say train
aws sagemaker create-training-job --training-job-name "$name" --role-arn "$role" \
    --algorithm-specification "TrainingImage=$image,TrainingInputMode=File" \
    --input-data-config "ChannelName=train,DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://$bucket/cli/}}" \
    --output-data-config "S3OutputPath=s3://$bucket/jobs" \
    --resource-config InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB=30 \
    --stopping-condition MaxRuntimeInSeconds=600 --query TrainingJobArn --output text
aws sagemaker wait training-job-completed-or-stopped --training-job-name "$name"
aws sagemaker describe-training-job --training-job-name "$name" --query '[TrainingJobStatus, SecondaryStatus]' --output text
aws sagemaker list-training-jobs --name-contains "$bucket" --status-equals Completed \
    --query 'TrainingJobSummaries[].TrainingJobName' --output text

say log
# `aws logs tail` is version 2's; this is what version 1 has.
group=/aws/sagemaker/TrainingJobs
stream=$(aws logs describe-log-streams --log-group-name "$group" --log-stream-name-prefix "$name/" \
    --query 'logStreams[0].logStreamName' --output text)
aws logs get-log-events --log-group-name "$group" --log-stream-name "$stream" --start-from-head \
    --query 'events[].[message]' --output text

say deploy
model=$(aws sagemaker describe-training-job --training-job-name "$name" --query ModelArtifacts.S3ModelArtifacts --output text)
aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" \
    --primary-container "Image=$image,ModelDataUrl=$model,Environment={GREETING=hello}" \
    --tags Key=team,Value=words --query ModelArn --output text
aws sagemaker create-endpoint-config --endpoint-config-name "$name" --output text --query EndpointConfigArn \
    --production-variants "VariantName=a,ModelName=$name,InstanceType=ml.m5.large,InitialInstanceCount=1"
aws sagemaker create-endpoint --endpoint-name "$name" --endpoint-config-name "$name" --query EndpointArn --output text
aws sagemaker wait endpoint-in-service --endpoint-name "$name"

say invoke
aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --content-type text/plain --accept application/json \
    --body one --query '[ContentType, InvokedProductionVariant]' --output text answer.json
cat answer.json && echo
aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --body refuse answer.json 2>&1 || echo "exit status $?"

say pages
for number in 1 2 3 4 5; do
    aws sagemaker create-model --model-name "$bucket-$number" --primary-container "Image=$image" --query ModelArn --output text
done
aws sagemaker list-models --name-contains "$bucket-" --sort-by Name --sort-order Ascending --page-size 2 \
    --query 'Models[].ModelName' --output text
aws sagemaker list-models --name-contains "$bucket-" --sort-by Name --sort-order Ascending --page-size 2 --max-items 3 >page.json
token=$(python3 -c 'import json; print(json.load(open("page.json"))["NextToken"])')
aws sagemaker list-models --name-contains "$bucket-" --sort-by Name --sort-order Ascending --starting-token "$token" \
    --query 'Models[].ModelName' --output text

say tags
aws sagemaker list-tags --query 'Tags[].[Key, Value]' --output text \
    --resource-arn "$(aws sagemaker describe-model --model-name "$name" --query ModelArn --output text)"

say end
aws sagemaker delete-model --model-name "$name"
aws sagemaker delete-endpoint-config --endpoint-config-name "$name"
aws sagemaker delete-endpoint --endpoint-name "$name"
aws sagemaker wait endpoint-deleted --endpoint-name "$name"
aws sagemaker describe-endpoint --endpoint-name "$name" 2>&1 || echo "exit status $?"
