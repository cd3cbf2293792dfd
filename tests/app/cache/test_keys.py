from __future__ import annotations

import pytest

from app.cache.keys import key_maker


async def item(user: int, name: str = "first", *, deep: bool = False) -> None: ...


async def anything(*args: object) -> None: ...


def test_a_key_is_made_of_the_arguments_however_they_are_given() -> None:
    key = key_maker("item:{user}:{name}:{deep}", item)
    assert key(7) == key(user=7) == key(7, "first", deep=False) == "item:7:first:False"
    assert key(7, deep=True, name="é") == "item:7:é:True"


def test_text_of_the_template_is_taken_as_it_is() -> None:
    assert key_maker('a"b\\c{{x}}:{user}', item)(1) == 'a"b\\c{x}:1'


@pytest.mark.parametrize("template", ["item:{nobody}", "item:{user!r}", "item:{user.name}", "item:{user:>9}", "item"])
def test_a_template_that_gives_no_key_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="argument"):
        key_maker(template, item)


def test_a_function_of_any_arguments_has_no_keys() -> None:
    with pytest.raises(ValueError, match="no key"):
        key_maker("x:{args}", anything)
