"""Tokenised names: full stops, truncation, and groups of similar length."""

import warnings
from itertools import product

import pytest
import torch
from support.tiny import tokenizer

from rppbench.models.class_names import Names, fill_wording, group_by_length
from rppbench.models.tokens import ClipTokens

NAMES = ["cat", "great white shark", "cart (wheeled)", "x", "Saint Bernard, St Bernard"]


def cost(groups: list[list[int]], overhead: int) -> int:
    return sum(len(group) * max(group) + overhead for group in groups)


def splits(ordered: list[int]) -> list[list[list[int]]]:
    """Every way to cut a list into runs."""
    cut_lists = []
    for cuts in product([False, True], repeat=len(ordered) - 1):
        groups = [[ordered[0]]]
        for length, cut in zip(ordered[1:], cuts, strict=True):
            if cut:
                groups.append([])
            groups[-1].append(length)
        cut_lists.append(groups)
    return cut_lists


def test_a_name_is_tokenised_with_its_full_stop_as_the_published_code_does() -> None:
    tokenize = tokenizer()
    names = Names(NAMES, ClipTokens(tokenize))
    for row, name in enumerate(NAMES):
        published = tokenize([f"X X X X {name}."])[0]  # start, 4 x 'X', name, '.', end, zeros
        end = int(published.argmax())
        assert names.ids[row, : names.lengths[row]].tolist() == published[5 : end + 1].tolist()
        assert not names.ids[row, names.lengths[row] :].any()


def test_a_closing_bracket_and_the_full_stop_are_one_token() -> None:
    tokenize = tokenizer()
    names = Names(["cart (wheeled)"], ClipTokens(tokenize))
    assert names.ids[0, -2:].tolist() == [*tokenize.encode(")."), tokenize.eot_token_id]


def test_selected_names_keep_the_order_asked_for() -> None:
    names = Names(NAMES, ClipTokens(tokenizer()))
    selected = names.select(torch.tensor([3, 1]))
    assert selected.texts == ("x", "great white shark")
    assert torch.equal(selected.ids, names.ids[[3, 1]])
    assert names.select(None) is names


def test_a_name_that_is_too_long_is_cut_before_its_full_stop_and_named_in_a_warning() -> None:
    tokenize = tokenizer()
    names = Names(["cat", "one two three four five six"], ClipTokens(tokenize))
    message = r"'one two three four five six' in '\{\}\.' takes 8 .* room for 5 "
    with pytest.warns(UserWarning, match=message):
        cut = names.truncate(5)
    expected = [*tokenize.encode("one two three."), tokenize.eot_token_id]
    assert cut.ids[1].tolist() == expected
    assert cut.lengths.tolist() == [3, 5]
    assert cut.ids[0].tolist() == [*names.ids[0, :3].tolist(), 0, 0]
    assert names.lengths.tolist() == [3, 8]


def test_names_that_fit_are_not_changed_and_warn_of_nothing() -> None:
    names = Names(NAMES, ClipTokens(tokenizer()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names.truncate(70) is names


@pytest.mark.parametrize("overhead", [0, 3, 10, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_grouping_by_length_is_cheaper(overhead: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 12, (9,), generator=generator)
    groups = [
        lengths[rows].tolist()
        for rows in group_by_length(lengths, shared=5, limit=10_000, overhead=overhead)
    ]
    best = min(cost(split, overhead) for split in splits(sorted(lengths.tolist())))
    assert cost(groups, overhead) == best


@pytest.mark.parametrize("limit", [1, 30, 64, 1000])
def test_every_row_is_in_exactly_one_group_and_no_group_exceeds_the_limit(limit: int) -> None:
    lengths = torch.randint(2, 20, (200,), generator=torch.Generator().manual_seed(0))
    groups = list(group_by_length(lengths, shared=17, limit=limit, overhead=64))
    assert torch.cat(groups).sort().values.tolist() == list(range(200))
    for rows in groups:
        assert len(rows) == 1 or len(rows) * (int(lengths[rows].max()) + 17) <= limit


def test_a_wording_takes_the_name_wherever_it_has_braces() -> None:
    assert fill_wording("{} or {}", ["cat", "{dog}"]) == ["cat or cat", "{dog} or {dog}"]


def test_a_gap_stands_behind_each_name_and_the_rest_moves() -> None:
    tokens = ClipTokens(tokenizer())
    names = Names(NAMES, tokens)
    ends = names.ends_of_names(tokens)
    gapped = names.with_gap(ends, 2, filler=7)
    for row, (at, length) in enumerate(zip(ends.tolist(), names.lengths.tolist(), strict=True)):
        ids = names.ids[row].tolist()
        assert gapped.ids[row].tolist() == [*ids[:at], 7, 7, *ids[at:]]
        assert int(gapped.lengths[row]) == length + 2
    assert len(names.select(torch.zeros(0, dtype=torch.int64)).with_gap(ends[:0], 2, 7)) == 0


def test_ends_of_names_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text tower asks whenever it runs."""
    tokens = ClipTokens(tokenizer())
    names = Names(NAMES, tokens)
    ends = names.ends_of_names(tokens)
    monkeypatch.setattr(tokens, "encode", None)
    assert torch.equal(names.ends_of_names(tokens), ends)
