"""`make check-deploy`: the manifests against Kubernetes' own schemas, and a policy scanner.

Run by the environment of requirements/deploy.txt.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import jsonschema
import kubernetes_validate
import yaml

from tests.deploy.rendered import KUBERNETES, OVERLAYS, Manifest, rendered

OURS: Final = {"ScaledObject": "scaledobject.json", "ServiceMonitor": "servicemonitor.json"}
SKIPPED: Final = {
    "CKV_K8S_15": "a fixed tag is not pulled again: a pod starts while the registry is away",
    "CKV_K8S_40": "the images of Valkey and PostgreSQL have their own user, 999",
    "CKV_K8S_43": "the digest is known where it is deployed: images, in an overlay of yours",
}


def main() -> int:
    """Return how many overlays are not as they should be."""
    return sum(not _is_fine(overlay) for overlay in OVERLAYS)


def _is_fine(overlay: str) -> bool:
    manifests = rendered(KUBERNETES / "overlays" / overlay)
    problems = [problem for one in manifests for problem in _problems(one)]
    problems += _unlike_kubectl(overlay, manifests)
    for problem in problems:
        print(f"{overlay}: {problem}")
    scanned = _scan(manifests)
    print(f"{overlay}: {len(manifests)} manifests, {len(problems)} problems")
    return not problems and scanned


def _problems(manifest: Manifest) -> list[str]:
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    try:
        if manifest["kind"] in OURS:
            schema = json.loads((KUBERNETES / "schemas" / OURS[manifest["kind"]]).read_text())
            jsonschema.validate(manifest, schema)
        else:
            kubernetes_validate.validate(manifest, "1.37.0", strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as problem:
        return [f"{name}: {problem.message}"]
    return []


def _unlike_kubectl(overlay: str, manifests: list[Manifest]) -> list[str]:
    if shutil.which("kubectl") is None:
        print(f"{overlay}: there is no kubectl here: rendered by tests/deploy/rendered.py alone")
        return []
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / "overlays" / overlay],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = list(yaml.safe_load_all(done.stdout))
    key = lambda one: (one["kind"], one["metadata"]["name"])  # noqa: E731 - of two lists alike
    same = sorted(theirs, key=key) == sorted(manifests, key=key)
    return [] if same else ["kubectl kustomize renders it otherwise"]


def _scan(manifests: list[Manifest]) -> bool:
    """Run the scanner; its checks that are skipped have a reason here."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "all.yaml"
        path.write_text(yaml.safe_dump_all(manifests))
        done = subprocess.run(
            [Path(sys.executable).with_name("checkov"), "--file", path, "--framework", "kubernetes",
             "--compact", "--quiet", "--skip-download", "--skip-check", ",".join(SKIPPED)],
            check=False,
        )  # fmt: skip
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
