"""Every package has a reason, and every reason a package."""

from __future__ import annotations

from tests.tools.house.conftest import MakeTree
from tools.house.packages import mistakes


def test_packages_and_reasons_that_have_no_partner_are_told(make_tree: MakeTree) -> None:
    tree = make_tree(
        {
            "requirements.in": "# why\nmsgspec\nPyYAML==6\n-r app/requirements.in\n",
            "docs/decisions/dependencies.md": "| name | why |\n|---|---|\n| pyyaml | reads | |\n| gone | x | |\n",
        }
    )
    assert list(mistakes(tree)) == [
        "requirements.in: msgspec has no row in docs/decisions/dependencies.md that says why it was chosen",
        "docs/decisions/dependencies.md: gone is in no requirements file",
    ]
