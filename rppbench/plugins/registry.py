"""The registry: components of the installed plugins, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from rppbench.contracts.backbone import Backbone
from rppbench.errors import UsageError, unknown
from rppbench.plugins import hookspecs
from rppbench.plugins.options import parse
from rppbench.records.cell import Option

GROUP = "rppbench"
KINDS = ("methods", "datasets", "tasks", "engines", "backbones")
SINGULAR = {kind: kind.removesuffix("s") for kind in KINDS} | {"datasets": "data set"}


class Registry:
    """Components by kind and name; implements `contracts.Catalog` for the data sets."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.broken: dict[str, Exception] = {}
        """Plugins that did not load or failed in a hook, with the error; never fatal."""
        self._known: dict[str, dict[str, Any]] = {}

    @classmethod
    def load(cls, plugins: Iterable[EntryPoint] | None = None) -> Registry:
        """The registry of these plugins (default: all installed ones); it has no global state."""
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        registry = cls(manager)
        for entry in entry_points(group=GROUP) if plugins is None else plugins:
            try:
                plugin = entry.load()
                manager.register(plugin, entry.name)
                manager.check_pending()  # a misspelt hook is an error now, not ignored later
            except Exception as error:  # noqa: BLE001  one broken plugin must not stop the others
                registry.broken[entry.name] = error
                if manager.has_plugin(entry.name):
                    manager.unregister(name=entry.name)
        return registry

    def all(self, kind: str) -> dict[str, Any]:
        """Components of a kind by name. UsageError if two have the same name."""
        if kind not in self._known:
            self._known[kind] = self._collect(kind)
        return self._known[kind]

    def get(self, kind: str, name: str) -> Any:
        """The named component. UsageError with the closest name, the list and broken plugins."""
        component = self.find(kind, name)
        if component is None:
            known = self.all(kind)
            raise unknown(f"{SINGULAR[kind]} is named", name, known, kind, self.complaints())
        return component

    def find(self, kind: str, name: str) -> Any | None:
        """The named component, or the data set that a plugin makes from the name; else None."""
        known = self.all(kind)
        if name in known or kind != "datasets":
            return known.get(name)
        for implementation in self.manager.hook.rppbench_resolve_dataset.get_hookimpls():
            try:
                component = implementation.function(name)
            except UsageError:
                raise
            except Exception as error:  # noqa: BLE001  as in `load`
                self.broken[implementation.plugin_name] = error
                continue
            if component is not None:
                return component
        return None

    def choose(self, kind: str, text: str) -> tuple[str, dict[str, Option]]:
        """'rpp:kd=off,length=8' as a name and the given options, typed."""
        name, _, rest = text.partition(":")
        return name, parse(self.get(kind, name), name, rest)

    def default_backbone(self) -> Backbone:
        """The backbone to use where none is named. UsageError unless exactly one is marked."""
        marked: list[Backbone] = [one for one in self.all("backbones").values() if one.default]
        if len(marked) == 1:
            return marked[0]
        if marked:
            names = ", ".join(repr(backbone.name) for backbone in marked)
            wrong = f"{len(marked)} backbones are marked as the default: {names}"
            advice = "name one, --model NAME, or uninstall one of the plugins"
        else:
            wrong = "no installed backbone is marked as the default"
            advice = "name one: --model NAME"
        raise UsageError("\n".join([f"{wrong}; {advice}", *self.complaints()]))

    def complaints(self) -> list[str]:
        """One line for each broken plugin, with the error."""
        return [
            f"plugin {name!r} did not load: {type(error).__name__}: {error}"
            for name, error in self.broken.items()
        ]

    def names(self, suite: str, role: str) -> Sequence[str]:
        """Data sets of a suite with this role, in registration order."""
        return [
            name
            for name, dataset in self.all("datasets").items()
            if dataset.suite == suite and dataset.role == role
        ]

    def source(self, suite: str, large: bool) -> str:
        """The suite's training source: its large vocabulary or its standard one.

        The only source of a suite is both. UsageError for a suite without a source.
        """
        sources = self.names(suite, "source")
        if not sources:
            suites = {dataset.suite for dataset in self.all("datasets").values()} - {""}
            if suite in suites:
                raise UsageError(
                    f"suite {suite!r} has no source to learn on; name one: source=NAME"
                )
            raise unknown("suite is named", suite, suites, "suites", self.complaints())
        datasets = self.all("datasets")
        return next((name for name in sources if datasets[name].large == large), sources[0])

    def _collect(self, kind: str) -> dict[str, Any]:
        collected: dict[str, Any] = {}
        for implementation in getattr(self.manager.hook, f"rppbench_{kind}").get_hookimpls():
            try:
                components = list(implementation.function())
                named = [(component.name, component) for component in components]
            except Exception as error:  # noqa: BLE001  as above: reported, not fatal
                self.broken[implementation.plugin_name] = error
                continue
            for name, component in named:
                if name in collected and collected[name] is not component:
                    raise UsageError(
                        f"two {kind} are named {name!r}: {_where(collected[name])} and "
                        f"{_where(component)}; uninstall one of the plugins"
                    )
                collected[name] = component
        return collected


def _where(component: Any) -> str:
    if isinstance(component, type):
        return f"{component.__module__}.{component.__qualname__}"
    return f"{component.name} of {type(component).__module__}"
