"""Names and addresses that a cluster takes: of what is deployed, of images, of where models come from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tbgen.export.errors import NoSuchName, UserError

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, as names of Services are
LONGEST = 63
_CLAIM = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")  # RFC 1123
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
ENDPOINT = re.compile(r"(https?://[^/]+)/(.*)")  # of an S3 of one's own, before the bucket, as tritonserver writes it
_SEGMENT = re.compile(r"[A-Za-z0-9._=+@-]+")
TAGGED = re.compile(
    r"(?P<registry>[a-z0-9.-]+(:\d+)?)/(?P<path>[a-z0-9]+([._/-]+[a-z0-9]+)*)(:[A-Za-z0-9_][\w.-]{0,127}|@sha256:[0-9a-f]{64})"
)
_SCHEMES = ("s3", "gs", "pvc")
_HOST, _PORT = r"\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+", r":(\d{1,5})"


@dataclass(frozen=True)
class ModelsPlace:
    """Where servers find their models: a bucket as tritonserver reads it, or a folder of a claim's volume."""

    scheme: str
    place: str  # without the scheme

    @property
    def bucket(self) -> bool:
        """Whether tritonserver itself reads them there."""
        return self.scheme in ("s3", "gs")

    @property
    def own_store(self) -> bool:
        """Whether the bucket is in a store of one's own, by its address."""
        return ENDPOINT.fullmatch(self.place) is not None

    @property
    def port(self) -> int:
        """The port of the bucket's store."""
        scheme, _, host = self.place.partition("://") if self.own_store else ("https", "", "")
        said = host.partition("/")[0].rpartition(":")[2]
        return int(said) if said.isdecimal() else 80 if scheme == "http" else 443

    @property
    def in_store(self) -> str:
        """The bucket and the path, without the store's address."""
        address = ENDPOINT.fullmatch(self.place)
        return f"{self.scheme}://{address[2] if address else self.place}"

    @property
    def claim(self) -> tuple[str, str]:
        """The name of the claim, and the folder in its volume, empty for all of it."""
        name, _, folder = self.place.partition("/")
        return name, folder

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"


def label_from_name(name: str, most: int = LONGEST, *, option: str = "--name") -> str:
    """The name that an option gave, if Kubernetes takes it, and what is made of it, in so many letters. Raises
    UserError.
    """
    if not _LABEL.fullmatch(name) or len(name) > most:
        raise UserError(
            f"Kubernetes takes no name {name!r}: small letters, digits and '-', a letter first, at most {most}; "
            f"write for instance {option} {plain_label(name, most)}"
        )
    return name


def plain_label(name: str, most: int = LONGEST) -> str:
    """A name of at most so many letters that Kubernetes takes, as near to this one as there is."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:most].rstrip("-")
    return plain if _LABEL.fullmatch(plain) else "triton"


def image_from_text(text: str) -> str:
    """An image's name that names its registry and its tag or digest. Raises UserError."""
    match = TAGGED.fullmatch(text)
    registry = match["registry"] if match else text.partition("/")[0] if "/" in text else ""
    if not (registry == "localhost" or {".", ":"} & {*registry}):
        raise UserError(
            f"{text!r} names no registry to pull from; write REGISTRY/NAME:TAG, such as ghcr.io/you/models:1"
        )
    if not match:
        raise UserError(
            f"{text!r} is no image of a fixed tag or digest; write REGISTRY/NAME:TAG in small letters, such as "
            f"{registry}/models:1"
        )
    if text.endswith(":latest"):
        raise UserError(f"{text!r} is another image tomorrow, and nothing to roll back to; name a tag of its own")
    return text


def models_from_text(text: str) -> ModelsPlace:
    """Where models come from: s3://BUCKET/PATH (also s3://http://HOST:PORT/BUCKET/PATH), gs://BUCKET/PATH,
    pvc://CLAIM/PATH. Raises UserError, NoSuchName.
    """
    scheme, separator, place = text.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise NoSuchName("models' place", text, [f"{each}://..." for each in _SCHEMES])
    address = ENDPOINT.fullmatch(place) if scheme == "s3" else None
    first, *rest = (address[2] if address else place).rstrip("/").split("/")
    if scheme == "pvc" and not _CLAIM.fullmatch(first):
        raise UserError(
            f"Kubernetes takes no claim {first!r}: small letters, digits, '-' and '.'; write pvc://CLAIM/PATH"
        )
    if scheme != "pvc" and not _BUCKET.fullmatch(first):
        raise UserError(f"{text!r} names no bucket; write {scheme}://BUCKET/PATH")
    if bad := [each for each in rest if not _SEGMENT.fullmatch(each) or each in (".", "..")]:
        raise UserError(f"{text!r} has the folder {bad[0]!r} in its path; use letters, digits and ._=+@-")
    return ModelsPlace(scheme, place.rstrip("/"))


def host_and_ports(text: str, *defaults: int) -> tuple[str, list[int]] | None:
    """The host and its ports of HOST, whose ports are the defaults, or HOST:PORT:...; None of what is neither."""
    match = re.fullmatch(rf"({_HOST})(?:{_PORT * len(defaults)})?", text)
    ports = [int(said or default) for said, default in zip(match.groups()[1:], defaults, strict=True)] if match else []
    differ = len({*ports}) == len(ports) > 0 and all(0 < port < 1 << 16 for port in ports)
    return (match[1], ports) if match and differ else None
