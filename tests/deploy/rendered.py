"""What an overlay becomes: the part of kustomize that ours use, where there is no kustomize.

`make check-deploy` compares it with `kubectl kustomize` where there is one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS: Final = ("small", "production")
_KNOWN: Final = {"apiVersion", "kind", "namespace", "resources", "images", "replicas", "patches"}

Manifest = dict[str, Any]


def rendered(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder with a kustomization; refuses what it cannot render."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(told) <= _KNOWN, f"{set(told) - _KNOWN} is not rendered here"
    found = [one for name in told["resources"] for one in _resource(folder / name)]
    for patch in told.get("patches", []):
        (target,) = [
            one for one in found
            if one["kind"] == patch["target"]["kind"]
            and one["metadata"]["name"] == patch["target"]["name"]
        ]  # fmt: skip
        _merge(target, yaml.safe_load(patch["patch"]))
    for wanted in told.get("replicas", []):
        for one in found:
            if one["kind"] == "Deployment" and one["metadata"]["name"] == wanted["name"]:
                one["spec"]["replicas"] = wanted["count"]
    images = {one["name"]: f"{one['newName']}:{one['newTag']}" for one in told.get("images", [])}
    for container in containers(found):
        container["image"] = images.get(container["image"], container["image"])
    if "namespace" in told:
        for one in found:
            one["metadata"]["namespace"] = told["namespace"]
    return found


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Return the containers of all that has a pod's template."""
    for one in manifests:
        yield from one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])


def _resource(path: Path) -> list[Manifest]:
    if path.is_dir():
        return rendered(path)
    return list(yaml.safe_load_all(path.read_text()))


def _merge(into: Manifest, patch: Manifest) -> None:
    """Merge dictionaries; a list takes the other's place, as where a schema names no key for it."""
    for name, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value
