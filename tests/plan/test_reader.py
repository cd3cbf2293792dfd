"""A YAML file is answered whatever it holds: in seconds, by a value or by a sentence with file and line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from plan.errors import ProjectError
from plan.project import read_project
from tests.plan import traps

SECONDS = 3
"""Of processor time; the slowest takes about one."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: hal9\nruntime: python\n")
    return tmp_path


@pytest.mark.parametrize("trap", [*traps.DOCUMENTS, *traps.BYTES])
def test_a_trap_is_answered_by_a_value_or_by_a_sentence_with_its_file(trap: str, project: Path) -> None:
    path = project / "Pulumi.dev.yaml"
    path.write_bytes(traps.files()[trap])
    begun, said = time.process_time(), "Pulumi.dev.yaml"
    try:
        read_project(project, "dev")
    except ProjectError as error:
        said = str(error)
    assert time.process_time() - begun < SECONDS
    assert said.startswith("Pulumi.dev.yaml")
    assert said.isprintable()
    assert len(said) < 600


def refusal(project: Path, text: str) -> str:
    (project / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(ProjectError) as refused:
        read_project(project, "dev")
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config: []\n", "Pulumi.dev.yaml: config must be a map of settings, such as hal9:owner: platform"),
        ("config:\n  owner: a\n", "Pulumi.dev.yaml: config.owner is no full key such as hal9:owner"),
        (
            "config:\n  hal9:accountId: 012345678901\n",
            (
                "Pulumi.dev.yaml:2:19 cannot be used: hal9:accountId: 012345678901 is read as another number; quote it "
                '("012345678901"), or write it without 0 and _'
            ),
        ),
        (
            "config:\n  hal9:limits: {userRate: .nan}\n",
            "Pulumi.dev.yaml:2:27 cannot be used: hal9:limits.userRate: .nan is no number that a setting can have",
        ),
        ("config:\n  hal9:a: [1, *b]\n", "Pulumi.dev.yaml:2:15 cannot be used: hal9:a[1]: *b names nothing above it"),
        ("config:\n  hal9:a: !!set {a}\n", "the tag !!set has no meaning here; leave it out"),
        ("config:\n  hal9:a: {true: 1}\n", "the key true is no text; quote it"),
        ("config: {}\n---\nconfig: {}\n", "a second document; only the first would be read"),
        ("config:\n  hal9:a: '\x1b[31m'\n", "Pulumi.dev.yaml:2:12 is not YAML: a control character, U+001B"),
    ],
)
def test_what_the_two_readers_would_take_for_different_things_is_refused_in_words(
    text: str, said: str, project: Path
) -> None:
    assert said in refusal(project, text)


def test_bytes_that_are_no_utf8_are_told_with_their_line(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_bytes(traps.BYTES["Latin-1"])
    with pytest.raises(ProjectError, match=re.escape("Pulumi.dev.yaml:2 is not UTF-8: byte 18 is 0xfc")):
        read_project(project, "dev")


def test_a_file_is_read_as_utf8_whatever_the_machines_language(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    (project / "Pulumi.dev.yaml").write_bytes("config:\n  hal9:a: ü\n".encode())
    assert read_project(project, "dev").config == {"hal9:a": "ü"}
