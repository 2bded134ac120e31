"""Built-in source does not change without its version, or proof that numbers are the same."""

from __future__ import annotations

from support import source_guard


def test_source_changes_with_its_version_or_with_proof_that_numbers_are_unchanged() -> None:
    table, now = source_guard.read(), source_guard.sources()
    lines = source_guard.changed(table["sources"], now)
    assert not lines, (
        f"the source of {', '.join(lines)} has changed: raise `version` if numbers change; in any "
        "case run PYTHONPATH=tests python -m support.source_guard"
    )


def test_the_small_cells_use_every_method_and_what_the_table_names() -> None:
    table = source_guard.read()
    used = {name for cell in table["cells"].values() for name in cell["uses"]}
    assert used <= table["sources"].keys()
    methods = {name for name in table["sources"] if name.startswith("method:")}
    assert len(methods) >= 15
    assert methods | {"core"} <= used


def test_the_table_sees_a_change_of_the_core_and_of_each_kind() -> None:
    now = source_guard.sources()
    assert len({line["digest"] for line in now.values()}) > 40
    for name in ("core", "method:rpp", "task:detection", "dataset:demo-2-animals"):
        assert len(now[name]["digest"]) == 16
        assert source_guard.changed(now, {**now, name: {**now[name], "digest": "other"}}) == [name]
        assert source_guard.changed(now, {n: v for n, v in now.items() if n != name}) == [name]


def test_the_small_cells_distinguish_the_methods() -> None:
    """A loss that has no effect on any value would not be guarded."""
    cells = source_guard.read()["cells"]
    values = [str(cell["values"]) for name, cell in cells.items() if name.endswith("few-shot")]
    assert len(set(values)) == len(values) >= 14
