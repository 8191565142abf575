"""A list of what an image holds, in CycloneDX: system packages, Python packages, and the parts that were built.

The library is heavy and few commands need it, so each function imports what it uses.

A part is an application with a pedigree: the sources that it came from by sha256, and the patches that it needed.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from devsetup import __version__
from devsetup.steps import ApplyPatch, DebianSource, LocalSource, PyPISource, UrlSource

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, Patch

    from devsetup.facts import Facts
    from devsetup.image.inventory import Distribution, Inventory, SystemPackage
    from devsetup.plan import Part, Plan
    from devsetup.steps import Source

FILE = "sbom.cdx.json"
_OURS = uuid.UUID("5e1c2a94-7f1c-5d0a-9c27-6d1b6f0c7c11")  # the name space of our serial numbers
_RPM = frozenset({"fedora", "centos", "rhel", "rocky", "almalinux"})


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """The image itself: its name, its one date in seconds since 1970, and the base with its digest, if known."""

    name: str
    created: int
    base: str
    base_digest: str = ""


def bom(inventory: Inventory, plan: Plan, image: Described) -> bytes:
    """CycloneDX 1.6 as JSON. The same image gives the same bytes.

    Args:
        inventory: what the image says that it holds.
        plan: what was built into it.
        image: what it is.
    """
    from cyclonedx.output.json import JsonV1Dot6

    made = _bom(inventory, plan, image)
    made.serial_number = uuid.uuid5(_OURS, JsonV1Dot6(made).output_as_string())
    return (JsonV1Dot6(made).output_as_string(indent=2) + "\n").encode()


def _bom(inventory: Inventory, plan: Plan, image: Described) -> Bom:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    facts = plan.facts
    properties = {"devsetup:plan": plan.digest, "devsetup:base": image.base, "devsetup:base-digest": image.base_digest}
    root = Component(
        name=image.name,
        type=ComponentType.CONTAINER,
        bom_ref=f"image:{image.name}",
        properties=[Property(name=name, value=value) for name, value in properties.items() if value],
    )
    made = Bom(
        serial_number=_OURS,
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.fromtimestamp(image.created, timezone.utc),
            tools=ToolRepository(
                components=[Component(name="devsetup", version=__version__, type=ComponentType.APPLICATION)]
            ),
        ),
    )
    system = Component(
        name=facts.os.id,
        version=facts.os.version,
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref=f"os:{facts.os.id}-{facts.os.version}",
    )
    packages = [_system(package, facts) for package in inventory.system]
    parts = {part.key: _part(part) for part in plan.parts}
    distributions = [(each, _distribution(each)) for each in inventory.python]
    for component in (system, *packages, *parts.values(), *(made_of for _, made_of in distributions)):
        made.components.add(component)
    made.register_dependency(root, [system, *parts.values()])
    made.register_dependency(system, packages)
    for part in plan.parts:
        own = [component for each, component in distributions if each.key == part.key]
        made.register_dependency(parts[part.key], [*(parts[need] for need in part.needs), *own])
    return made


def _system(package: SystemPackage, facts: Facts) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    qualifiers = {"arch": package.architecture, "distro": f"{facts.os.id}-{facts.os.version}"}
    if package.source:
        qualifiers["upstream"] = f"{package.source}@{package.source_version}".rstrip("@")
    kind = "rpm" if facts.os.id in _RPM else "deb"
    purl = PackageURL(kind, facts.os.id, package.name, package.version, qualifiers)
    return Component(
        name=package.name, version=package.version, type=ComponentType.LIBRARY, bom_ref=purl.to_string(), purl=purl
    )


def _distribution(each: Distribution) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", None, each.name.lower().replace("_", "-"), each.version)
    reference = f"{each.key}:{purl.to_string()}"  # two prefixes may hold the same one
    return Component(name=each.name, version=each.version, type=ComponentType.LIBRARY, bom_ref=reference, purl=purl)


def _part(part: Part) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    applied = [step for step in part.steps if isinstance(step, ApplyPatch)]
    options = {f"devsetup:option:{name}": value for name, value in part.options.items()}
    return Component(
        name=part.name,
        version=part.version,
        description=part.summary,
        type=ComponentType.APPLICATION,
        bom_ref=part.key,
        properties=[Property(name=name, value=value) for name, value in {**options, "devsetup:key": part.key}.items()],
        pedigree=Pedigree(
            ancestors=[_ancestor(part, source) for source in part.sources],
            patches=[_patch(step) for step in applied],
            notes="One of the ancestors was used: the first that could be had.",
        )
        if part.sources or applied
        else None,
    )


def _ancestor(part: Part, source: Source) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl, address = None, ""
    match source:
        case UrlSource(url=url):
            address = url
        case DebianSource(package=package, version=version):
            purl = PackageURL("deb", "debian", package, version, {"arch": "source"})
        case PyPISource(package=package, version=version):
            purl = PackageURL("pypi", None, package, version)
        case LocalSource():
            pass
    references = [ExternalReference(type=ExternalReferenceType.SOURCE_DISTRIBUTION, url=XsUri(address))]
    return Component(
        name=part.name,
        version=source.id,
        type=ComponentType.FILE,
        bom_ref=f"{part.key}:source:{source.id}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=source.sha256)],
        purl=purl,
        external_references=references if address else [],
    )


def _patch(step: ApplyPatch) -> Patch:
    from cyclonedx.model import AttachedText, XsUri
    from cyclonedx.model.component import Diff, Patch, PatchClassification
    from cyclonedx.model.issue import IssueClassification, IssueType

    return Patch(
        type=PatchClassification.UNOFFICIAL,
        diff=Diff(text=AttachedText(content=step.text), url=XsUri(step.upstream) if step.upstream else None),
        resolves=[IssueType(type=IssueClassification.DEFECT, name=step.name, description=step.why)],
    )
