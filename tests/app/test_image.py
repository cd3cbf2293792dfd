"""The image: what the Dockerfile promises Kubernetes, and that the app needs nothing the image lacks."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "app"
DOCKERFILE = (APP / "Dockerfile").read_text()
IMPORTED_AS = {"pyjwt": "jwt", "prometheus-client": "prometheus_client"}


def instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(name + " ")]


def test_both_stages_stand_on_the_one_base_that_a_release_pins() -> None:
    assert [line.split()[0] for line in instructions("FROM")] == ["${PYTHON}", "${PYTHON}"]
    (base,) = instructions("ARG")
    assert re.fullmatch(r"PYTHON=python:\d+\.\d+\.\d+-slim-\w+", base)


def test_the_process_is_a_numbered_user_and_started_without_a_shell() -> None:
    (user,) = instructions("USER")
    assert all(int(number) >= 10_000 for number in user.split(":"))
    assert instructions("ENTRYPOINT")[0].startswith("[")
    assert instructions("CMD")[0].startswith("[")


def test_every_package_is_installed_by_hash() -> None:
    (install,) = [line for line in instructions("RUN") if "pip" in line and "install" in line]
    assert "--require-hashes" in install


def test_the_app_imports_nothing_but_its_own_requirements() -> None:
    listed = {re.split(r"[\[=<>]", line)[0].strip() for line in (APP / "requirements.in").read_text().splitlines()}
    allowed = {IMPORTED_AS.get(name, name) for name in listed if name and not name.startswith("#")}
    for path in APP.rglob("*.py"):
        if "bench" in path.relative_to(APP).parts:
            continue
        imported = _imports(path) - {"app"} - sys.stdlib_module_names
        assert imported <= allowed, f"{path.relative_to(APP.parent)} imports {imported - allowed}"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
