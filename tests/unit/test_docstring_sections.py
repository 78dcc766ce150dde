"""Public functions say what they take and what they raise, in sections that tools can read."""

from __future__ import annotations

import ast

from support.docstring_sections import missing_in, missing_sections


def test_functions_of_three_parameters_or_that_raise_have_sections() -> None:
    assert missing_sections() == []


def test_a_missing_section_is_seen() -> None:
    source = '''
class Shown:
    def three(self, one, two, three):
        """Return a sum."""

    def raises(self):
        """Raise."""
        raise ValueError

    def _hidden(self, one, two, three):
        """Return a sum."""

def outer(one):
    """Return a function; what that one raises is its own."""
    def inner():
        raise ValueError
    return inner
'''
    found = [(name, section) for _, name, section in missing_in(ast.parse(source))]
    assert found == [("three", "Args:"), ("raises", "Raises:")]
