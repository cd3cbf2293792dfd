"""Forms of single values."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from topology import forms
from topology.forms import Like


def test_a_text_of_the_form_passes() -> None:
    assert Like(r"[a-z]+", "small letters")("abc") == "abc"


@pytest.mark.parametrize("text", ["", "abc1", "abc\n", "Abc"])
def test_a_text_of_another_form_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not small letters"):
        Like(r"[a-z]+", "small letters")(text)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("0.5", 0.5),
        ("2", 2),
        ("140.5", 140.5),
        ("1e2", 100),
        (0.5, 0.5),
        (2, 2),
        ("half", "half"),
        ("nan", "nan"),
        ("-inf", "-inf"),
        (True, True),
    ],
)
def test_a_fraction_may_be_text(given: Any, read: Any) -> None:
    assert forms.number(given) == read
    assert type(forms.number(given)) is type(read)


@pytest.mark.parametrize(("given", "read"), [(16, "16"), ("16.4", "16.4"), (16.1, 16.1), (True, True)])
def test_a_whole_number_may_be_text(given: Any, read: Any) -> None:
    assert forms.digits(given) == read
    assert type(forms.digits(given)) is type(read)


def test_a_block_is_read() -> None:
    assert forms.block("10.1.0.0/16") == IPv4Network("10.1.0.0/16")


def test_an_address_within_a_block_is_refused_with_the_block() -> None:
    with pytest.raises(ValueError, match=r"^10.1.2.3/16 is an address within a block; the block is 10.1.0.0/16$"):
        forms.block("10.1.2.3/16")


@pytest.mark.parametrize("given", ["", "10.0.0.0", "10.0.0.0/33", "300.0.0.0/8", "::/16", "ten/8", 7, None, []])
def test_what_is_no_block_is_refused_with_an_example(given: Any) -> None:
    with pytest.raises(ValueError, match=r"is not an IPv4 block such as 10.0.0.0/16$"):
        forms.block(given)
