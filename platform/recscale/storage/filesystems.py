"""From a URI to one of pyarrow's filesystems: endpoint, region, time-outs and retries, decided in one place.

The cloud's own library retries what passes by itself (5xx, SlowDown, a lost, refused or silent connection), with
exponential backoff and jitter; nothing retries on top of it but `remote`, in one case. What does not pass (no such
bucket, access denied) fails at once.
"""

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow.fs

from recscale.errors import ConfigError

SETTINGS = {"s3": ("endpoint_override", "region", "scheme"), "gs": ("anonymous", "endpoint_override", "scheme")}
"""Query parameters of a URI, by the filesystem that understands them."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Environment variables that the AWS tools read, too; a URI's own parameters come before them."""
ATTEMPTS = 8
"""Attempts per request unless AWS_MAX_ATTEMPTS says otherwise: about half a minute of waiting in all."""
CONNECT_SECONDS, SILENT_SECONDS = 10.0, 30.0
"""How long a connection may take, and how long it may then transfer nothing, before the request is tried again."""
GS_RETRY_LIMIT = timedelta(seconds=120)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class Address:
    """A place in an object store, as a user writes it: scheme://bucket/key?setting=value."""

    scheme: str
    """s3 | gs."""
    bucket: str
    """First part of the path."""
    key: str
    """The rest of it, without slashes at its ends; empty is the bucket itself."""
    query: str
    """Settings of the filesystem, as written; empty for none."""

    def __str__(self) -> str:
        place = f"{self.scheme}://{self.bucket}" + (f"/{self.key}" if self.key else "")
        return f"{place}?{self.query}" if self.query else place


def is_uri(text: str) -> bool:
    """Whether this names a place by scheme, as no path of ours does; s3:/x is a mistyped one."""
    return _SCHEME.match(text) is not None


def parse_address(uri: str) -> Address:
    """The parts of an s3:// or gs:// URI; ConfigError that says what is wrong with any other text."""
    parts = urlsplit(uri)
    if parts.scheme not in SETTINGS:
        raise ConfigError(f"{uri}: got the scheme {parts.scheme!r}, expected a local path, s3:// or gs://")
    if "@" in parts.netloc:
        raise ConfigError(
            f"the {parts.scheme}:// URI holds credentials, which would be stored with every study; set them in the "
            f"environment instead (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS)"
        )
    if not parts.netloc or parts.fragment:
        raise ConfigError(f"{uri}: expected {parts.scheme}://BUCKET/PATH")
    known = SETTINGS[parts.scheme]
    unknown = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in known]
    if unknown:
        raise ConfigError(f"{uri}: got the parameter {unknown[0]!r}, expected one of {', '.join(known)}")
    key = "/".join(part for part in parts.path.split("/") if part)
    if {".", ".."} & {*key.split("/")}:
        raise ConfigError(f"{uri}: '.' and '..' mean nothing in an object store; write the path out")
    return Address(parts.scheme, parts.netloc, key, parts.query)


def open_filesystem(address: Address, delayed: bool) -> pyarrow.fs.FileSystem:
    """The filesystem of an address, one per process; `delayed` ones write what is small in one request."""
    return _open(address.scheme, address.bucket, address.query, delayed)


class _S3FileSystem(pyarrow.fs.S3FileSystem):  # type: ignore[misc]  # pyarrow has no types
    """One that is opened anew where it is unpickled, by the environment there: pyarrow's own forgets its retries."""

    def __init__(self, opened_by: tuple[str, str, str, bool], **settings: Any) -> None:
        super().__init__(**settings)
        self._opened_by = opened_by

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, self._opened_by


@lru_cache
def _open(scheme: str, bucket: str, query: str, delayed: bool) -> pyarrow.fs.FileSystem:
    settings = dict(parse_qsl(query))
    if scheme == "gs":
        return pyarrow.fs.GcsFileSystem(
            anonymous=settings.get("anonymous") == "true",
            endpoint_override=settings.get("endpoint_override"),
            scheme=settings.get("scheme", "https"),
            retry_time_limit=GS_RETRY_LIMIT,
        )
    endpoint, protocol = _endpoint(settings)
    region = settings.get("region") or _first_set(REGIONS)
    if not region and not endpoint:
        region = _region_of(bucket)
    return _S3FileSystem(
        (scheme, bucket, query, delayed),
        endpoint_override=endpoint or None,
        scheme=protocol,
        region=region or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENT_SECONDS,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=attempts()),
        allow_delayed_open=delayed,
    )


def attempts() -> int:
    """Attempts per request; ConfigError where AWS_MAX_ATTEMPTS is no number from 1 up."""
    text = os.environ.get("AWS_MAX_ATTEMPTS", str(ATTEMPTS))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"AWS_MAX_ATTEMPTS is {text!r}, expected a number from 1 up")
    return int(text)


def _endpoint(settings: dict[str, str]) -> tuple[str, str]:
    """host:port of the server and its protocol: the URI's, else the environment's, else Amazon's own ('')."""
    override = settings.get("endpoint_override")
    if override:
        return override, settings.get("scheme", "https")
    url = _first_set(ENDPOINTS)
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise ConfigError(f"AWS_ENDPOINT_URL is {url!r}, expected http://HOST:PORT or https://HOST:PORT")
    return parts.netloc, settings.get("scheme") or parts.scheme or "https"


def _region_of(bucket: str) -> str:
    """Asks Amazon where the bucket is, as nothing else says it."""
    try:
        return str(pyarrow.fs.resolve_s3_region(bucket))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"s3://{bucket}: its region cannot be found ({reason}); correct the bucket, or set AWS_REGION"
        ) from error


def _first_set(names: tuple[str, ...]) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
