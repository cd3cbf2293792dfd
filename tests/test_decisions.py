"""Each decision can be found by its number, and says whether it still holds and since when."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def test_numbers_are_without_a_gap_and_none_is_given_twice() -> None:
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))
    assert len(PAGES) > 5


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_has_its_number_its_status_and_its_day(page: Path) -> None:
    title, _, status = page.read_text().split("\n")[:3]
    assert re.fullmatch(rf"# {int(page.name[:4])}\. \S.*", title)
    assert re.fullmatch(r"(Accepted|Replaced by \d+|Withdrawn), \d{4}-\d{2}-\d{2}", status)


def test_every_page_but_the_template_and_the_table_of_packages_has_a_number() -> None:
    others = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")} - {page.name for page in PAGES}
    assert others == {"template.md", "dependencies.md"}
