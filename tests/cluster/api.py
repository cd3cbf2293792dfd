"""A real Kubernetes API server with its etcd, for tests: started, filled with CRDs, asked over HTTPS."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from lab.servers.process import Process, User, free_port
from tools import build

TOKEN = "test-administrator"
Object = dict[str, Any]


class Refused(AssertionError):
    """The API server did not take an object; the message is its own."""


class Api:
    """A client of one API server. Every write is validated strictly: an unknown or doubled field is refused."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self._http = self.client()
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def client(self) -> httpx.Client:
        """A client of the administrator's own, for a thread or for what this class has no word for."""
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            verify=ssl.create_default_context(cafile=str(self.folder / "apiserver.crt")),
            timeout=30,
        )

    def ready(self) -> bool:
        """Whether the server answers that it is ready."""
        with contextlib.suppress(httpx.HTTPError):
            return self._http.get("/readyz").status_code == 200
        return False

    def get(self, path: str) -> Object:
        """GET of a path; Refused unless it answers 200."""
        answer = self._http.get(path)
        if answer.status_code != 200:
            raise Refused(answer.text)
        found: Object = answer.json()
        return found

    def path(self, manifest: Mapping[str, Any], *, name: bool = True) -> str:
        """The URL of an object, by what the server's discovery says of its kind."""
        api, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
        base = f"/api/{api}" if "/" not in api else f"/apis/{api}"
        if (api, kind) not in self._resources:
            for one in self.get(base)["resources"]:
                if "/" not in one["name"]:
                    self._resources[api, one["kind"]] = one["name"], one["namespaced"]
        if (api, kind) not in self._resources:
            raise Refused(f"the server knows no {kind} in {api}")
        plural, namespaced = self._resources[api, kind]
        place = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{base}{place}/{plural}" + (f"/{metadata['name']}" if name else "")

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = True) -> tuple[Object, list[str]]:
        """Server-side apply; the object as the server would keep
        it, and its warnings. Refused with the server's words.
        """
        answer = self._http.patch(
            self.path(manifest),
            params={"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
            | ({"dryRun": "All"} if dry_run else {}),
            content=yaml.safe_dump(dict(manifest)),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        return self._taken(answer, manifest)

    def create(self, manifest: Mapping[str, Any]) -> tuple[Object, list[str]]:
        """A dry-run create, as a controller would make a pod: admission included."""
        answer = self._http.post(
            self.path(manifest, name=False), params={"dryRun": "All", "fieldValidation": "Strict"}, json=dict(manifest)
        )
        return self._taken(answer, manifest)

    def _taken(self, answer: httpx.Response, manifest: Mapping[str, Any]) -> tuple[Object, list[str]]:
        if answer.status_code not in (200, 201):
            name = f"{manifest['kind']} {manifest['metadata'].get('namespace', '')}/{manifest['metadata']['name']}"
            raise Refused(f"{name}: {answer.json()['message']}")
        warnings = [
            text.split('"', 1)[1].rstrip('"') for text in answer.headers.get_list("warning", split_commas=False)
        ]
        return answer.json(), warnings

    def kubeconfig(self) -> Path:
        """A kubeconfig of the administrator, for the programs that want a file."""
        path = self.folder / "kubeconfig"
        cluster = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": str(self.folder / "apiserver.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        return path


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[Api]:
    """etcd and kube-apiserver on free ports, gone at the end. Raises build.GoMissing where the server is not built."""
    binary = build.binary("kube-apiserver")
    me = User("test", os.geteuid(), os.getegid())
    subprocess.run(["openssl", "genrsa", "-out", str(folder / "accounts.key"), "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f'{TOKEN},administrator,1,"system:masters"\n')
    client, peer, port = free_port(), free_port(), free_port()
    etcd = Process(
        [
            shutil.which("etcd") or "/usr/bin/etcd",
            f"--data-dir={folder / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=error",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        ],
        folder / "etcd.log",
        me,
    )
    server = Process(
        [
            binary,
            f"--etcd-servers=http://127.0.0.1:{client}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://test.invalid",
            f"--service-account-key-file={folder / 'accounts.key'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
        ],
        folder / "apiserver.log",
        me,
    )
    try:
        etcd.start(lambda: _answers(f"http://127.0.0.1:{client}/health"))
        server.start(lambda: (folder / "apiserver.crt").exists() and Api(port, folder).ready(), timeout=90)
        yield Api(port, folder)
    finally:
        server.stop()
        etcd.stop()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code == 200
    return False
