"""A project's images as CI files of GitHub and GitLab: build, prove, cache and push each; fail when the lock drifted.

The actions are GitHub's own, pinned by commit. Registries come from the platforms' variables.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from devsetup.render.words import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
_UPLOAD = "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2"
_TOOLS = "buildah podman mmdebstrap ca-certificates"
_TOP = "# Made by `devsetup ci {platform}` from devsetup.toml; change that, and run it again.\n"

_GITHUB = """\
name: images
on:
  push:
    branches: [{branch}]
  pull_request:
  schedule:
    - cron: "17 4 * * 1"
  workflow_dispatch:
permissions:
  contents: read
concurrency:
  group: images-${{{{ github.ref }}}}
  cancel-in-progress: true
jobs:
  image:
    name: ${{{{ matrix.name }}}}
    runs-on: ubuntu-24.04
    timeout-minutes: 120
    permissions:
      contents: read
      packages: write
    strategy:
      fail-fast: false
      matrix:
        include:
{matrix}
    env:
      BASE: ${{{{ matrix.base }}}}
      NAME: ${{{{ matrix.name }}}}
      # A repository of a registry, in the settings of this one (registry.example/team/images). Without it, nothing is
      # cached or pushed.
      REPOSITORY: ${{{{ vars.DEVSETUP_REPOSITORY }}}}
    steps:
      - uses: {checkout}
        with:
          persist-credentials: false
      - name: Install devsetup and an engine
        run: |
          sudo apt-get update
          sudo apt-get install -y --no-install-recommends {tools}
          pipx install devsetup=={version}
      - name: Log in to the registry
        if: vars.DEVSETUP_REPOSITORY != '' && github.event_name != 'pull_request'
        env:
          TOKEN: ${{{{ secrets.GITHUB_TOKEN }}}}
          ACTOR: ${{{{ github.actor }}}}
        run: printf '%s' "$TOKEN" | buildah login --username "$ACTOR" --password-stdin "${{REPOSITORY%%/*}}"
      - name: Build and prove
        env:
          PUSH: ${{{{ github.ref_name == {branch_literal} && github.event_name != 'pull_request' }}}}
        run: |
          set -- --locked --build --base "$BASE" --name "$NAME" --output image
          if [ -n "$REPOSITORY" ] && [ "$PUSH" = true ]; then
            set -- "$@" --cache "$REPOSITORY/layers" --push "$REPOSITORY/$NAME:latest"
          fi
          devsetup image "$@"
      - name: What each layer holds
        run: devsetup image --locked --explain --base "$BASE" --name "$NAME" --output image
      - uses: {upload}
        if: always()
        with:
          name: ${{{{ matrix.name }}}}
          path: |
            image/sbom.cdx.json
            image/build.log
          if-no-files-found: ignore
"""

_GITLAB = """\
stages: [images]

build-image:
  stage: images
  image: debian:13
  timeout: 2h
  interruptible: true
  parallel:
    matrix:
{matrix}
  variables:
    # Runners are containers themselves, in which no further ones can be nested.
    BUILDAH_ISOLATION: chroot
    STORAGE_DRIVER: vfs
    PIPX_BIN_DIR: /usr/local/bin
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_PIPELINE_SOURCE == "schedule"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  script:
    - apt-get update
    - apt-get install -y --no-install-recommends git pipx {tools}
    - pipx install devsetup=={version}
    - set -- --locked --build --base "$BASE" --name "$NAME" --output image
    - |
      if [ -n "${{CI_REGISTRY_IMAGE-}}" ] && [ "${{CI_COMMIT_BRANCH-}}" = "$CI_DEFAULT_BRANCH" ]; then
        printf '%s' "$CI_REGISTRY_PASSWORD" |
          buildah login --username "$CI_REGISTRY_USER" --password-stdin "$CI_REGISTRY"
        set -- "$@" --cache "$CI_REGISTRY_IMAGE/layers" --push "$CI_REGISTRY_IMAGE/$NAME:latest"
      fi
    - devsetup image "$@"
    - devsetup image --locked --explain --base "$BASE" --name "$NAME" --output image
  artifacts:
    when: always
    paths:
      - image/sbom.cdx.json
      - image/build.log
"""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One image of the matrix: the reference of its base, and its name."""

    base: str
    name: str


def github(jobs: Sequence[Job], version: str, branch: str) -> str:
    """A workflow.

    Args:
        jobs: one for each base.
        version: of devsetup.
        branch: from which images are pushed.
    """
    rows = [f"          - base: {_text(job.base)}\n            name: {_text(job.name)}" for job in jobs]
    return _TOP.format(platform="github") + _GITHUB.format(
        branch=_text(branch),
        branch_literal="'" + branch.replace("'", "''") + "'",
        matrix="\n".join(rows),
        checkout=_CHECKOUT,
        upload=_UPLOAD,
        tools=_TOOLS,
        version=quote(version),
    )


def gitlab(jobs: Sequence[Job], version: str) -> str:
    """A pipeline; its default branch pushes.

    Args:
        jobs: one for each base.
        version: of devsetup.
    """
    rows = [f"      - BASE: {_text(job.base)}\n        NAME: {_text(job.name)}" for job in jobs]
    return _TOP.format(platform="gitlab") + _GITLAB.format(matrix="\n".join(rows), tools=_TOOLS, version=quote(version))


def _text(text: str) -> str:
    """A YAML scalar: JSON's strings are YAML's."""
    return json.dumps(text)
