import pytest

from mesh_runtime.api.regex import complaint


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "^/v[0-9]+/.*$",
        "(GET|POST)",
        "(?i)abc",
        "(?i:a)b",
        "(?P<name>a)(?<other>b)",
        r"\d+\.\w*\s",
        r"[\w.-]+@[[:alpha:]]+",
        r"\pL\p{Greek}\P{^Lu}",
        r"\Qa.b\E+",
        r"\x41\x{10FFFF}",
        "a{2,5}?",
        "a{,3}",
        "[]a]",
        "[^]]",
        "[a-]",
        "()*",
        "a**b"[:2],
    ],
)
def test_what_re2_reads_is_accepted(pattern):
    assert complaint(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "is empty"),
        ("a" * 1025, "longer than 1024"),
        ("(", "a ( is not closed"),
        (")", "a ) has no ("),
        ("[a", "a [ is not closed"),
        ("[z-a]", "a range goes backwards"),
        ("[[:nope:]]", "is not known"),
        ("*a", "nothing to repeat"),
        ("a|*", "nothing to repeat"),
        ("a**", "a repetition is repeated"),
        ("a{1001}", "at most 1000"),
        ("a{3,2}", "not a repetition RE2 allows"),
        ("((a{100}){100}){100}", "repeats too much"),
        ("(?=a)", "no lookaround"),
        ("(?<!a)", "no lookaround"),
        ("(?>a)", "? is not followed by what RE2 knows"),
        (r"(a)\1", "no backreferences"),
        (r"\Z", r"\Z is not known"),
        ("a\\", "is the last character"),
        (r"\p{Klingon}", "not followed by a known class"),
        (r"\x{110000}", "no such character"),
        ("(?P<a>x)(?P<a>y)", "is there twice"),
        ("(" * 200, "nested too deep"),
    ],
)
def test_what_re2_does_not_read_is_refused_with_the_reason(pattern, words):
    assert words in (complaint(pattern) or "")


def test_a_complaint_says_where():
    assert complaint("ab(?=c)") == (
        "is not a regular expression of RE2: (? is not followed by what RE2 knows; it has no lookaround at character 3"
    )
