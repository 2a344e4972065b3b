"""Every error has one stable code, a known kind, a message with a next step, and a line in docs/errors.md."""

import re
from collections import Counter

from mesh.errors import KINDS
from shape.error_table import PAGE, error_types, kind_of, page


def test_codes_are_stable_words_and_belong_to_one_type() -> None:
    codes = [error.code for error in error_types() if error.code]
    assert [code for code, count in Counter(codes).items() if count > 1] == []
    assert [code for code in codes if not re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z0-9]+(_[a-z0-9]+)*", code)] == []


def test_every_error_has_a_code_a_kind_and_a_message() -> None:
    errors = error_types()
    for error in errors:
        assert error.code, f"{error.where}: {error.name} has no code"
        assert kind_of(error, errors) in KINDS, f"{error.where}: {error.name}"
        assert error.message.endswith((".", "!")), f"{error.where}: {error.name} says nothing to people"


def test_every_code_is_documented() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/shape/error_table.py"
