import pytest

from model_server.catalogue import Choice
from model_server.errors import BadInputError
from model_server.invocations import Attributes, read_attributes, read_version


@pytest.mark.parametrize(
    ("header", "attributes"),
    [
        (None, Attributes()),
        ("", Attributes()),
        ("trace-id=1,other", Attributes()),
        ("tfs-model-name=a", Attributes(Choice("a"))),
        ("tfs-model-version=007", Attributes(Choice(None, 7))),
        ("tfs-method=classify", Attributes(method="classify")),
        (
            "x=y, tfs-model-name=a b , tfs-model-version=2,tfs-method=regress;z",
            None,
        ),
        ("c=1,tfs-method=predict,tfs-model-version=2,tfs-model-name=m.n-1", Attributes(Choice("m.n-1", 2))),
    ],
)
def test_custom_attributes(header: str | None, attributes: Attributes | None) -> None:
    """Each attribute is optional and may stand among others; a method with more to it is no method."""
    if attributes is None:
        with pytest.raises(BadInputError, match="tfs-method=regress;z"):
            read_attributes(header)
    else:
        assert read_attributes(header) == attributes


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "²", "9" * 20])
def test_versions_are_whole_numbers(text: str) -> None:
    """What is no int64 is refused by its text."""
    with pytest.raises(BadInputError, match="Failed to convert version"):
        read_version(text)
