"""Bodies signed chunk by chunk: the examples of AWS's documentation, and what must not pass."""

from __future__ import annotations

import io

import pytest

from emulator.sigv4_chunks import BadChunk, SigningKey, check_chunks

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
KEY = SigningKey.derive(
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"
)
PLAIN, TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
LENGTH = "66560"


def chunks(first: str, second: str, last: str, trailers: bytes = b"") -> bytes:
    """The documentation's body: 65,536 and 1,024 times the letter a."""
    parts = ((65536, first), (1024, second))
    data = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (size, text.encode(), b"a" * size) for size, text in parts)
    return data + b"0;chunk-signature=" + last.encode() + b"\r\n" + trailers + b"\r\n"


SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
BODY = chunks(
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
SEED_WITH_TRAILER = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
BODY_WITH_TRAILER = chunks(
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
)


def test_the_examples_of_aws() -> None:
    """Both forms; the body is at its start afterwards."""
    for body, announced, seed in ((BODY, PLAIN, SEED), (BODY_WITH_TRAILER, TRAILER, SEED_WITH_TRAILER)):
        file = io.BytesIO(body)
        check_chunks(file, announced, seed, KEY, LENGTH)
        assert file.tell() == 0


@pytest.mark.parametrize(
    ("body", "announced", "seed", "why"),
    [
        (BODY.replace(b"aaa", b"aba", 1), PLAIN, SEED, "chunk 1"),
        (BODY[:70000].replace(b"a\r\n400;", b"a\r\n3ff;") + BODY[70000:], PLAIN, SEED, "chunk 2"),
        (BODY, PLAIN, "0" * 64, "chunk 1"),
        (BODY[BODY.index(b"400;") :], PLAIN, SEED, "chunk 1"),
        (BODY[: BODY.index(b"0;chunk-signature=b6")], PLAIN, SEED, "chunk 3 has no head"),
        (BODY[:1000], PLAIN, SEED, "does not have its 65536 bytes"),
        (BODY + b"more", PLAIN, SEED, "follows"),
        (BODY[:-2] + b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", PLAIN, SEED, "not announced"),
        (BODY, TRAILER, SEED, "trailers"),
        (BODY_WITH_TRAILER.replace(b"sOO8", b"sOO9"), TRAILER, SEED_WITH_TRAILER, "trailers"),
        (BODY_WITH_TRAILER[:-2] + b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", TRAILER, SEED_WITH_TRAILER, "trailers"),
        (b"5\r\nhello\r\n0\r\n\r\n", PLAIN, SEED, "no head"),
        (b"-5;chunk-signature=" + b"0" * 64 + b"\r\n", PLAIN, SEED, "no head"),
        (b"ffffffffffffffff;chunk-signature=" + b"0" * 64 + b"\r\nabc", PLAIN, SEED, "does not have"),
        (b"", PLAIN, SEED, "no head"),
    ],
)
def test_nothing_can_be_changed(body: bytes, announced: str, seed: str, why: str) -> None:
    """A byte, a length, the order, a chunk left out or added, a trailer: each is noticed, and said where."""
    with pytest.raises(BadChunk, match=why):
        check_chunks(io.BytesIO(body), announced, seed, KEY, None)


def test_the_stated_length() -> None:
    """What the chunks add up to must be what was announced."""
    with pytest.raises(BadChunk, match="66561"):
        check_chunks(io.BytesIO(BODY), PLAIN, SEED, KEY, "66561")
