"""What the drawer of a row shows: what it is, what it says, how to make it, and its records."""

from __future__ import annotations

import shlex
from collections import Counter
from statistics import fmean

import msgspec

from rppbench.comparison.row_names import spelling
from rppbench.leaderboard.number_format import duration_text
from rppbench.leaderboard.variants import Variant, source
from rppbench.records.record import ABOUT
from rppbench.reporting.layout import NO_NUMBER, CellText, headline_text
from rppbench.reporting.site.answers import difference_digits
from rppbench.reporting.site.board import Board, BoardRow
from rppbench.reporting.site.html import script_file
from rppbench.reporting.site.numbers import span
from rppbench.reporting.site.row_details import row_details
from rppbench.stats.ranks import split_letters

Facts = list[list[str]]
"""Pairs of a name and a value."""


def drawer_script(board: Board, logs: str) -> str:
    """The script file with the contents of the drawers of a table's rows, by their ids.

    `logs` is the address of the folder that logs of workers are named from, or ''.
    """
    variants = {variant.label: variant for variant in board.built.variants}
    own = _own_facts(board, variants)
    return script_file(
        board.drawer,
        {
            "logs": logs,
            "shared": [[name, value] for name, value in board.table.setting],
            "rows": {
                row.id: _drawer(board, row, variants[row.row.label], own[row.row.label])
                for row in board.rows
            },
        },
    )


def _own_facts(board: Board, variants: dict[str, Variant]) -> dict[str, tuple[Facts, Facts]]:
    """For each row the facts in which it differs from some other row, and all its others.

    Digests are never among the first: they say that something differs, not what.
    """
    count = Counter(fact for v in variants.values() for fact in v.attributes)
    having = Counter(name for v in variants.values() for name, _ in v.attributes)
    result = {}
    for label, variant in variants.items():
        facts = [pair for pair in variant.attributes if pair[0] != "method"]
        differs = [pair for pair in facts if ":" not in pair[0] and _differs(pair, count, having)]
        rest = [pair for pair in facts if pair not in differs]
        result[label] = ([list(pair) for pair in differs], [list(pair) for pair in rest])
    return result


def _differs(fact: tuple[str, str], count: Counter[tuple[str, str]], having: Counter[str]) -> bool:
    return count[fact] < having[fact[0]]


def _drawer(board: Board, row: BoardRow, variant: Variant, own: tuple[Facts, Facts]) -> object:
    labels = variant.newest.labels
    differs, rest = own
    by_hand = [part.partition("=")[0] for part in labels.get("method_options", "").split(", ")]
    fixed_by_hand = [pair for pair in [*differs, *rest] if pair[0] in by_hand]
    return {
        "about": labels.get(ABOUT, ""),
        "paper": row.row.paper,
        "verdict": _verdict(board, row),
        "command": command(variant),
        "byHand": fixed_by_hand,
        "special": [pair for pair in differs if pair not in fixed_by_hand],
        "numbers": _numbers(board, row),
        "losses": _losses(variant),
        "cost": _cost(variant),
        "rest": [pair for pair in rest if pair not in fixed_by_hand],
        "details": msgspec.to_builtins(row_details(variant)),
    }


def _verdict(board: Board, row: BoardRow) -> list[str]:
    """The row's number, its difference from the reference, and whom it is tied with."""
    table = board.table
    lines = [_text(row.average) + ("" if table.by_metric else " on average")]
    if row.row.against:
        test, places = row.row.against, difference_digits(table, row.row)
        ends = span(test.mean - test.half_width, test.mean + test.half_width, places)
        said = row.verdict.text
        lines.append(f"{said[:1].upper()}{said[1:]}; 95 % interval {ends}.")
    if row.row.rank:
        own = set(split_letters(row.row.rank.groups))
        others = [o.row.rank for o in board.rows if o is not row and o.row.rank]
        same = sum(bool(own & set(split_letters(other.groups))) for other in others)
        standing = f"; {row.standing}" if row.standing else ""
        tied = f" Not told apart from {same} of {len(others)} other rows." if own else ""
        lines.append(f"Mean rank {row.row.rank.mean:.1f}{standing}.{tied}")
    return lines


def _text(cell: CellText) -> str:
    spread = f" ± {cell.spread}" if cell.spread else ""
    return f"{cell.text}{spread}{' ' + cell.mark if cell.mark else ''}"


def command(variant: Variant) -> str:
    """The command that measures the row's cells again, with what was set by hand.

    The recipe is the one that its tasks choose; so is the teacher.
    """
    cell = variant.newest.cell
    options = variant.newest.labels.get("task_options", "").replace(", ", ",")
    words = ["rppbench", "run", "--method", spelling(variant)]
    words += ["--task", f"{cell.task.name}:{options}" if options else cell.task.name]
    words += ["--model", cell.backbone, "--seed", *map(str, variant.seeds)]
    words += ["--precision", cell.precision] if cell.precision != "fp32" else []
    words += ["--limit", str(cell.limit)] if cell.limit else []
    changes = cell.training.recipe.name.partition("+")[2] if cell.training else ""
    for change in filter(None, changes.split(",")):
        words += ["--set", f"recipe.{change}"]
    return shlex.join(words)


def _numbers(board: Board, row: BoardRow) -> dict[str, object]:
    """A table of each column and each seed, the average first."""
    table = board.table
    seeds = () if row.row.deterministic else row.row.seeds
    heads = ["Measure" if table.by_metric else "Data set", "Mean", *(f"Seed {s}" for s in seeds)]
    lines = []
    if row.row.average:
        values = dict(row.row.average.values)
        lines.append(["Average", _text(headline_text(row.row)), *_by_seed(values, seeds, 1)])
    first = len(row.cells) - len(table.columns)
    for column, entry, cell in zip(table.columns, row.row.entries, row.cells[first:], strict=True):
        values = dict(entry.values)
        texts = _by_seed(values, seeds, entry.decimals)
        lines.append([table.heading(column), _text(cell.text), *texts])
    return {"heads": heads, "rows": lines}


def _by_seed(values: dict[int, float], seeds: tuple[int, ...], places: int) -> list[str]:
    return [f"{values[seed]:.{places}f}" if seed in values else NO_NUMBER for seed in seeds]


def _losses(variant: Variant) -> list[list[object]]:
    """[seed, loss of each epoch], a mean over the data sets that were learned on."""
    logs: dict[int, dict[str, list[float]]] = {}
    for record in variant.records:
        losses = [entry["loss"] for entry in record.training_log if "loss" in entry]
        if losses and record.cell.training:
            logs.setdefault(record.cell.seed, {}).setdefault(source(record.cell), losses)
    result: list[list[object]] = []
    for seed, by_source in sorted(logs.items()):
        lengths = {len(losses) for losses in by_source.values()}
        if len(lengths) == 1:
            means = [float(f"{fmean(v):.4g}") for v in zip(*by_source.values(), strict=True)]
            result.append([seed, means])
    return result


def _cost(variant: Variant) -> Facts:
    """Parameters, time, steps and memory of one training, and the number of records."""
    costs = [r.cost for r in variant.records if r.cell.training and not r.failure]
    facts: Facts = []
    if costs:
        facts = [
            ["Parameters", f"{max(cost.parameters for cost in costs):,}"],
            ["One training", duration_text(fmean(cost.train_seconds for cost in costs))],
            ["Steps", f"{round(fmean(cost.steps for cost in costs)):,}"],
            ["Peak memory", f"{max(cost.peak_bytes for cost in costs) / 2**30:.2f} GiB"],
        ]
    newest = variant.newest.finished[:10]
    return [*facts, ["Records", f"{len(variant.records)}, the newest of {newest}"]]
