"""What the user's environment may bring along."""

from __future__ import annotations

import pytest

from emulator.engine.inherited import LOOPBACK, inherited, proxies, with_defaults


def test_only_the_harmless_is_passed_on() -> None:
    """Keys, settings of Python and of frameworks, and HOME stay behind."""
    kept = {"PATH": "/bin", "LANG": "C.UTF-8", "LC_ALL": "C", "SSL_CERT_FILE": "/ca"}
    lost = {"AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/x", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": "/root", "SM_X": ""}
    assert inherited({**kept, **lost}) == kept


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, LOOPBACK), ({"NO_PROXY": "a.example"}, f"a.example,{LOOPBACK}"), ({"no_proxy": "*"}, "*")],
)
def test_loopback_needs_no_proxy(given: dict[str, str], expected: str) -> None:
    """A proxy is passed on, but never asked for what is on this machine."""
    passed = inherited({"https_proxy": "http://proxy", **given})
    assert passed == {"https_proxy": "http://proxy", "NO_PROXY": expected, "no_proxy": expected}


def test_only_proxies_go_into_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what they are not for; nothing else of the user's."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy")
    assert proxies() == {"https_proxy": "http://proxy", "NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK}


def test_the_users_settings_win_over_defaults() -> None:
    """A tool of the user's gets all of the environment, and defaults only where that says nothing."""
    assert with_defaults({"SAGEMAKER_REHEARSAL_TEST": "1", "PATH": "/nowhere"})["PATH"] != "/nowhere"
    assert with_defaults({"SAGEMAKER_REHEARSAL_TEST": "1"})["SAGEMAKER_REHEARSAL_TEST"] == "1"
