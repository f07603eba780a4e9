"""What the user's environment may bring along."""

from __future__ import annotations

from emulator.engine.inherited import inherited, with_defaults


def test_only_the_harmless_is_passed_on() -> None:
    """Keys, settings of Python and of frameworks, and HOME stay behind."""
    kept = {"PATH": "/bin", "LANG": "C.UTF-8", "LC_ALL": "C", "https_proxy": "http://proxy", "SSL_CERT_FILE": "/ca"}
    lost = {"AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/x", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": "/root", "SM_X": ""}
    assert inherited({**kept, **lost}) == kept


def test_the_users_settings_win_over_defaults() -> None:
    """A tool of the user's gets all of the environment, and defaults only where that says nothing."""
    assert with_defaults({"SAGEMAKER_REHEARSAL_TEST": "1", "PATH": "/nowhere"})["PATH"] != "/nowhere"
    assert with_defaults({"SAGEMAKER_REHEARSAL_TEST": "1"})["SAGEMAKER_REHEARSAL_TEST"] == "1"
