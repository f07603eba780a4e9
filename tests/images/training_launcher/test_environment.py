"""The SM_* variables and arguments, held against what AWS's toolkit gave a script."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_launcher import hyperparameters
from training_launcher.environment import Hardware, TrainingEnvironment

RECORDED = json.loads((Path(__file__).parent / "toolkit-4.9.0.json").read_text())


def environment(framework=None, **resources):
    """Make the environment of the recorded job, with changes."""
    parsed = hyperparameters.parse({**RECORDED["hyperparameters"], **(framework or {})})
    return TrainingEnvironment(
        base=Path("/opt/ml"),
        hyperparameters=parsed,
        resources={**RECORDED["resourceconfig"], **resources},
        channels=RECORDED["inputdataconfig"],
        hardware=Hardware(num_cpus=2, num_gpus=0, num_neurons=0),
        variables={"TRAINING_JOB_NAME": "job-1"},
    )


def test_variables_are_the_toolkits():
    """Every SM_* variable has the value that AWS's toolkit gave it for the same job, and there is no other one."""
    ours = environment().sm_variables()
    assert ours == RECORDED["variables"]


def test_arguments_are_the_toolkits():
    """The arguments, split as a shell does, are those that the recorded script got."""
    arguments = hyperparameters.to_arguments(environment().hyperparameters.user)
    assert " ".join(arguments).split() == RECORDED["arguments_after_the_shell"]
    assert json.loads(RECORDED["variables"]["SM_USER_ARGS"]) == arguments


def test_several_instance_groups():
    """A heterogeneous cluster knows its groups, and the hosts of the current one."""
    groups = [
        {"instance_group_name": "a", "instance_type": "ml.m5.large", "hosts": ["algo-1"]},
        {"instance_group_name": "b", "instance_type": "ml.c5.large", "hosts": ["algo-2", "algo-3"]},
    ]
    job = environment(
        framework={"sagemaker_distribution_instance_groups": '["b"]'},
        hosts=["algo-1", "algo-2", "algo-3"],
        current_host="algo-2",
        current_group_name="b",
        instance_groups=groups,
    )
    variables = job.sm_variables()
    assert variables["SM_IS_HETERO"] == "true"
    assert variables["SM_CURRENT_INSTANCE_GROUP_HOSTS"] == '["algo-2","algo-3"]'
    assert variables["SM_DISTRIBUTION_INSTANCE_GROUPS"] == '["b"]'
    described = json.loads(variables["SM_TRAINING_ENV"])
    assert (described["master_hostname"], described["is_master"]) == ("algo-2", True)


def test_a_job_without_program():
    """The missing hyperparameter is named."""
    job = environment()
    job.hyperparameters.platform.pop("sagemaker_program")
    with pytest.raises(ValueError, match="sagemaker_program is missing"):
        job.sm_variables()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=50)
@given(st.dictionaries(st.from_regex(r"[a-z]{2,8}", fullmatch=True), json_values))
def test_hyperparameters_survive_the_way_to_the_script(values):
    """SM_HPS holds what the SDK encoded, and each hyperparameter is two arguments, sorted by name."""
    parsed = hyperparameters.parse({name: json.dumps(value) for name, value in values.items()})
    assert json.loads(hyperparameters.to_environment_value(parsed.user)) == values
    arguments = hyperparameters.to_arguments(parsed.user)
    assert arguments[::2] == [f"--{name}" for name in sorted(values)]
    assert all(isinstance(text, str) for text in arguments)
