"""The SageMaker SDK's version 2: estimators, models, predictors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from client_programs import HERE, ROLE, WORDS_IMAGE, User

PROGRAMS = HERE / "sdk_v2"


def test_a_generic_estimator_and_its_model(
    user: User, client_python: Callable[[str], Path], data: tuple[str, str]
) -> None:
    """Fit with its log, attach, deploy and wait, serializers, errors, Model.deploy, an update; nothing is left."""
    bucket = data[0]
    run = user.run([client_python("sdk_v2"), PROGRAMS / "generic.py", bucket, WORDS_IMAGE, ROLE])
    assert run.returncode == 0, run.stdout + run.stderr
    for text in [*(f"line {number}" for number in range(20)), "[test] words=2;", "Training seconds:"]:
        assert text in run.stdout
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["model_data"].startswith(f"s3://{bucket}/jobs/{bucket}-generic-")
    assert result["attached"] == [result["model_data"], {"lines": "20"}]
    assert result["metrics"] == [["words", 2.0]]
    seen = result["predictions"]
    assert seen["json"]["words"] == ["hello", "world"]
    assert (seen["json"]["body"], seen["json"]["content_type"]) == ('{"a": [1, 2]}', "application/json")
    assert (seen["csv"]["body"], seen["csv"]["content_type"]) == ("1,2\n3,4", "text/csv")
    assert (seen["lines"]["body"], seen["lines"]["content_type"]) == ('{"a": 1}\n{"a": 2}', "application/jsonlines")
    assert seen["text"]["body"] == "größer"
    assert seen["error"] == '{"error": "refused"}'
    assert result["modelled"] == {"before": ["hello", "one"], "after": ["again", "two"]}
    assert result["left"] == [[], [], []]


def test_tensorflows_script_mode_and_its_inference_container(
    user: User, client_python: Callable[[str], Path], data: tuple[str, str]
) -> None:
    """TensorFlow runs the script on the channel's data; its SavedModel answers JSON and CSV, two share one endpoint."""
    result = user.result([client_python("sdk_v2"), PROGRAMS / "script_mode.py", data[0], ROLE])
    assert result["rows"] == {"predictions": [[2.5, 5.0], [7.5, 10.0]]}
    assert result["csv"] == {"predictions": [[2.5, 5.0]]}
    assert result["factor"] == 2.5
    assert result["multi"] == {
        "models": ["minus.tar.gz", "scale.tar.gz"],
        "rows": {"scale.tar.gz": [[2.5, 5.0]], "minus.tar.gz": [[-1.0, -2.0]]},
    }
    assert result["model_data"].startswith(f"s3://{data[0]}/tensorflow-training-")
