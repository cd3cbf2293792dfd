"""The image as it is built, run as the Deployment runs it: it serves, holds what it needs and no more, and drains."""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import json
import os
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from app.deployment import SECRETS_DIRECTORY, ServerConfig
from components.manifests import server
from lab import alone
from lab.servers.process import User, work_directory
from tests.image.conftest import Image
from tests.image.engine import Container, running
from tools import sbom

JWKS = "/etc/hal9/jwks.json"
CA_BUNDLE = "/etc/hal9/ca/bundle.pem"


@dataclass(frozen=True)
class Running:
    """A container that is ready, the servers it uses, and how long it took to be so."""

    container: Container
    world: alone.Alone
    start_seconds: float


@contextlib.contextmanager
def served(image: Image) -> Iterator[Running]:
    """The image in a container with real PostgreSQL and Redis, the document and its secrets as files."""
    quick = ServerConfig(drain_delay_seconds=1)
    with alone.servers(server=quick) as world, work_directory("hal9-container", User.current()) as folder:
        folder.chmod(0o755)
        given = msgspec.structs.replace(
            world.document,
            secrets_directory=SECRETS_DIRECTORY,
            ca_file=CA_BUNDLE,
            identity=msgspec.structs.replace(world.document.identity, jwks=JWKS),
        )
        (folder / "document").mkdir()
        document = folder / "document" / Path(server.DOCUMENT_PATH).name
        document.write_bytes(given.encode())
        secrets = Path(world.document.secrets_directory)
        secrets.chmod(0o755)  # as the secrets driver mounts them: files of root, for anybody in the pod to read
        secrets.parent.chmod(0o755)
        container = Container(
            image.root,
            image.config,
            ["--document", server.DOCUMENT_PATH],
            {
                server.DOCUMENT_DIRECTORY: document.parent,
                SECRETS_DIRECTORY: secrets,
                JWKS: Path(world.document.identity.jwks),
            },
            folder / "bundle",
        )
        ready = f"http://127.0.0.1:{world.document.server.port}/readyz"
        with running(container, lambda: alone.answers(ready), 30) as seconds:
            yield Running(container, world, seconds)


@pytest.fixture(scope="module")
def app(image: Image) -> Iterator[Running]:
    with served(image) as found:
        yield found


def test_it_serves_a_user_from_files_alone(app: Running) -> None:
    user = alone.register(app.world)
    cookie = alone.sign_in(app.world, user)
    status, _, _ = alone.ask(app.world, "PUT", "/v1/me/items/answer", 42, cookie=cookie)
    assert status in (200, 201, 204)
    status, _, body = alone.ask(app.world, "GET", "/v1/me/items/answer", cookie=cookie)
    assert (status, json.loads(body)) == (200, 42)


def test_its_process_is_the_numbered_user_without_a_capability(app: Running) -> None:
    told = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{app.container.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert set(told["Uid"].split()) == set(told["Gid"].split()) == {str(server.USER)}
    assert {told[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert told["NoNewPrivs"] == "1"


def test_nothing_in_it_can_be_written_but_its_temporary_files(app: Running) -> None:
    mounts = [line.split() for line in Path(f"/proc/{app.container.pid}/mounts").read_text().splitlines()]
    writable = {place for _, place, kind, options, *_ in mounts if options.split(",")[0] == "rw" and kind != "proc"}
    assert writable == {"/tmp", "/dev"}
    assert os.stat(f"/proc/{app.container.pid}/root/dev").st_uid == 0  # /dev is root's, and the app is not


def test_it_trusts_amazons_roots_for_rds_and_the_public_ones(image: Image) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(image.root / CA_BUNDLE.lstrip("/"))
    roots = [x509.load_der_x509_certificate(one) for one in context.get_ca_certs(binary_form=True)]
    names = {one.subject.rfc4514_string() for one in roots}
    has = "\n".join(sorted(names))
    assert "Amazon RDS ap-south-1 Root CA RSA2048 G1" in has
    assert "CN=Amazon Root CA 1," in has  # ElastiCache's


def test_it_holds_the_app_and_nothing_of_its_making(image: Image) -> None:
    app = image.root / "opt/hal9/app/app"
    assert {path.name for path in app.iterdir()} >= {"server.py", "http", "migrations", "__pycache__"}
    assert not [
        path for path in (image.root / "opt/hal9").rglob("*") if path.name in ("bench", "pip", "tests", "Dockerfile")
    ]
    assert not (image.root / "etc/pip.conf").exists() or not (image.root / "etc/pip.conf").read_text()


def test_it_holds_just_what_its_bill_of_materials_says(image: Image) -> None:
    (libraries,) = (image.root / "opt/hal9/lib").glob("python3.*/site-packages")
    installed = {
        _plain(one.metadata["Name"]): one.version for one in importlib.metadata.distributions(path=[str(libraries)])
    }
    billed = sbom.bill(sbom.LOCK.read_text())["components"]
    needed = {_plain(one["name"]): one["version"] for one in billed if "properties" not in one}
    elsewhere = {_plain(one["name"]): one["version"] for one in billed if "properties" in one}
    assert needed.items() <= installed.items()
    assert installed.items() <= (needed | elsewhere).items()


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def test_size_and_start_are_within_what_a_spot_node_forgives(image: Image, app: Running) -> None:
    ours = image.bytes - image.base_bytes
    print(
        f"\nimage: built in {image.build_seconds:.0f} s, {image.bytes / 1e6:.0f} MB, of which {ours / 1e6:.0f} MB are "
        f"the app's; ready {app.start_seconds:.1f} s after its start"
    )
    assert ours < 150e6
    assert app.start_seconds < 15


def test_asked_to_end_it_answers_what_is_open_and_then_ends_in_order(image: Image) -> None:
    """SIGTERM, as Kubernetes sends it: not ready at once, requests served until the end, status 0 within the grace."""
    with served(image) as found:
        port = found.world.document.server.port
        cookie = alone.sign_in(found.world, alone.register(found.world))
        statuses: list[int] = []
        broken: list[str] = []

        def requests() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            while True:
                try:
                    connection.request("GET", "/v1/me", headers={"Cookie": cookie})
                    answer = connection.getresponse()
                    answer.read()
                except ConnectionRefusedError:  # the port is closed: by now nothing would send a request here
                    return
                except (ConnectionError, http.client.HTTPException) as error:  # sent, and never answered
                    broken.append(repr(error))
                    return
                statuses.append(answer.status)
                time.sleep(0.01)

        user = threading.Thread(target=requests)
        user.start()
        time.sleep(0.3)
        begun = time.monotonic()
        os.kill(found.container.pid, signal.SIGTERM)
        status = found.container.wait(server.grace_seconds())
        took = time.monotonic() - begun
        user.join(10)
        assert not user.is_alive()
        print(
            f"\ndrain: {len(statuses)} requests, {len(broken) + sum(one != 200 for one in statuses)} "
            f"failed, 0 allowed, ended after {took:.1f} s"
        )
        assert status == 0, found.container.log.read_text()[-2000:]
        assert len(statuses) > 50
        assert set(statuses) == {200}
        assert not broken
