"""Lines of text files: their ends are those of the format, and no numbered line is skipped."""

from pathlib import Path

import pytest

from rppbench.files.class_names import alike, alike_warning, tokenizer_words
from rppbench.files.lines import numbered_lines, read_lines, split_lines

SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def test_only_lf_and_crlf_end_a_line() -> None:
    inside = [f"a{separator}b" for separator in SEPARATORS]
    assert split_lines("\n".join(inside)) == inside
    assert split_lines("one\r\ntwo\n\nthree") == ["one", "two", "", "three"]
    assert split_lines("one\n") == ["one"]
    assert split_lines("") == []


def test_numbered_lines_may_end_in_empty_ones(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffcat\r\n grey\u2028owl \r\n\r\n \n".encode())
    assert numbered_lines(file) == ["cat", "grey\u2028owl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"cat\n\ndog\n", "line 2 is empty"), (b"cat\ndog\rowl\n", "line 2 has a carriage return")],
)
def test_a_numbered_line_is_never_skipped(tmp_path: Path, text: bytes, message: str) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=message):
        numbered_lines(file)


def test_other_lists_may_have_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\na 1\n\n b 2\r\n")
    assert read_lines(file) == ["a 1", "b 2"]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Cat", "cat"),
        ("black_cat", "black  cat"),
        ("bread &amp; butter", "bread & butter"),
        ("Mark 2", "mark2"),
        ("t-shirt", "T - Shirt"),
        ("Citro\u00ebn 2CV", "citro\u00ebn 2 cv"),
        ("caf\u00e9", "cafe\u0301"),
        ("dog\u2019s bed", "dog's bed"),
    ],
)
def test_names_that_the_tokenizer_cannot_tell_apart(one: str, two: str) -> None:
    from open_clip import SimpleTokenizer

    encode = SimpleTokenizer().encode
    assert encode(one.replace("_", " ")) == encode(two.replace("_", " "))
    assert tokenizer_words(one) == tokenizer_words(two)
    assert alike(["yak", one, two, "owl"]) == [(one, two)]


def test_other_names_are_told_apart() -> None:
    assert alike(["cat", "cats", "c at", "cat.", "kitty"]) == []
    assert alike_warning(["cat", "dog"], "it") == ""


def test_the_warning_names_the_first_groups() -> None:
    names = [name for letter in "abcde" for name in (letter, letter.upper())]
    assert alike_warning(names, "it").endswith("apart: 'a' and 'A'; 'b' and 'B'; 'c' and 'C'; ...")
