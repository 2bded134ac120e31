"""The registry: components of the installed plugins, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, EntryPoint, entry_points
from itertools import islice
from typing import TYPE_CHECKING, Any

import pluggy

from rppbench.contracts.backbone import Backbone
from rppbench.errors import UsageError, unknown
from rppbench.plugins import hookspecs
from rppbench.plugins.checks import fault_of, faulty_options
from rppbench.plugins.containment import contained, line_of, uncontained
from rppbench.plugins.options import parse
from rppbench.records.cell import Option

if TYPE_CHECKING:
    from rppbench.contracts.towers import ImageKind, TextKind

GROUP = "rppbench"
KINDS = ("methods", "datasets", "tasks", "engines", "backbones")
SINGULAR = {kind: kind.removesuffix("s") for kind in KINDS} | {"datasets": "data set"}
MOST = 100_000
"""Most components of one hook: an endless list is a mistake."""


class Registry:
    """Components by kind and name; implements `contracts.Catalog` for the data sets."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.broken: dict[str, Exception] = {}
        """Plugins that did not load or failed in a hook, with the error; never fatal."""
        self.faulty: dict[tuple[str, str], str] = {}
        """(kind, name) -> why no component of this name can be used; never fatal either."""
        self.distributions: dict[str, Distribution] = {}
        """Distributions of the plugins by the top-level module of their entry point."""
        self._known: dict[str, dict[str, Any]] = {}
        self._vetted: set[tuple[str, str]] = set()
        """(kind, name) of the components whose options were checked, when first asked for."""

    @classmethod
    def load(cls, plugins: Iterable[EntryPoint] | None = None) -> Registry:
        """The registry of these plugins (default: all installed ones); it has no global state."""
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        registry = cls(manager)
        for entry in entry_points(group=GROUP) if plugins is None else plugins:
            try:
                with contained():
                    plugin = entry.load()
                    if entry.dist is not None:
                        registry.distributions[entry.module.partition(".")[0]] = entry.dist
                    manager.register(plugin, entry.name)
                    manager.check_pending()  # a misspelt hook is an error now, not ignored later
            except Exception as error:
                if uncontained():
                    raise
                registry.broken[entry.name] = error  # one broken plugin must not stop the others
                if manager.has_plugin(entry.name):
                    manager.unregister(name=entry.name)
        return registry

    def all(self, kind: str) -> dict[str, Any]:
        """Components of a kind by name, without those that cannot be used (`faulty`)."""
        if kind not in self._known:
            self._known[kind] = self._collect(kind)
        return self._known[kind]

    def sound(self, kind: str) -> dict[str, Any]:
        """As `all`, without the components whose options cannot be used: for lists."""
        known = self.all(kind)
        for name, component in known.items():
            self._vet(kind, name, component)
        return {name: one for name, one in known.items() if (kind, name) not in self.faulty}

    def get(self, kind: str, name: str) -> Any:
        """The named component. UsageError with the closest name, the list and broken plugins."""
        component = self.find(kind, name)
        if component is not None:
            self._vet(kind, name, component)
        if (kind, name) in self.faulty:
            raise UsageError(self.faulty[kind, name])
        if component is None:
            known = self.all(kind)
            refusal = self._not_derived(name) if kind == "datasets" else None
            raise refusal or unknown(
                f"{SINGULAR[kind]} is named", name, known, kind, self.complaints()
            )
        return component

    def find(self, kind: str, name: str) -> Any | None:
        """The named component, or the data set that a plugin makes from the name; else None."""
        known = self.all(kind)
        if name in known or kind != "datasets":
            return known.get(name)
        hook = self.manager.hook
        if (resolved := self._made(hook.rppbench_resolve_dataset, name)) is not None:
            return resolved
        derivation, colon, of = name.partition(":")
        base = self.find(kind, of) if colon else None
        return base and self._made(hook.rppbench_derive_dataset, derivation, base)

    def _not_derived(self, name: str) -> UsageError | None:
        """The error for a name such as 'masks:NAME' if it is NAME that is wrong; else None.

        It suggests only data sets that such a data set can be made from.
        """
        derivation, colon, of = name.partition(":")
        derive = self.manager.hook.rppbench_derive_dataset
        bases = [
            base
            for base, one in self.all("datasets").items()
            if colon and self._made(derive, derivation, one)
        ]
        if not bases:
            return None
        title = f"data sets with {derivation}"
        if self.find("datasets", of) is None:
            return unknown("data set is named", of, bases, title, self.complaints())
        lines = (
            f"no data set is named {name!r}: {of!r} has no {derivation}",
            f"{title}: {', '.join(sorted(bases))}",
        )
        return UsageError("\n".join(lines))

    def _made(self, hook: pluggy.HookCaller, *arguments: Any) -> Any | None:
        """The first data set that a plugin makes of the arguments, of which the first is text."""
        kind, name = "datasets", arguments[0]
        for implementation in hook.get_hookimpls():
            try:
                with contained():
                    component = implementation.function(*arguments)
                    fault = None if component is None else fault_of(kind, component)
            except UsageError:
                raise
            except Exception as error:
                if uncontained():
                    raise
                self.broken[implementation.plugin_name] = error  # as in `load`
                continue
            if fault:
                plugin = implementation.plugin_name
                raise UsageError(f"plugin {plugin!r} makes no data set of {name!r}: {fault}")
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

    def towers(self) -> list[type[ImageKind] | type[TextKind]]:
        """Kinds of towers that plugins add, in the order of the plugins."""
        kinds: list[type[ImageKind] | type[TextKind]] = []
        for implementation in self.manager.hook.rppbench_towers.get_hookimpls():
            added: Any = implementation.function
            try:
                kinds += added()
            except Exception as error:  # noqa: BLE001  as in `load`
                self.broken[implementation.plugin_name] = error
        return kinds

    def complaints(self) -> list[str]:
        """One line for each broken plugin and each component that cannot be used."""
        broken = [
            f"plugin {name!r} did not load: {line_of(error)}" for name, error in self.broken.items()
        ]
        return [*broken, *self.faulty.values()]

    def names(self, suite: str, role: str) -> Sequence[str]:
        """Data sets of a suite with this role, in registration order; `Catalog.names`."""
        datasets = {n: one for n, one in self.all("datasets").items() if one.suite == suite}
        if role == "few-shot":
            sources = [n for n, one in datasets.items() if one.role == "source" and one.few_shot]
            return [*sources, *self.names(suite, "transfer")]
        return [name for name, dataset in datasets.items() if dataset.role == role]

    def sources(self, suite: str) -> Sequence[str]:
        """Data sets that a suite learns on: its own, or those of the suite that its sets name."""
        if own := self.names(suite, "source"):
            return own
        members = [one for one in self.all("datasets").values() if one.suite == suite]
        named = next(filter(None, (getattr(one, "source_suite", "") for one in members)), "")
        return self.names(named, "source") if named else ()

    def source(self, suite: str, large: bool) -> str:
        """The suite's training source: its large vocabulary or its standard one.

        The only source of a suite is both. UsageError for a suite without a source.
        """
        sources = self.sources(suite)
        if not sources:
            suites = {dataset.suite for dataset in self.all("datasets").values()} - {""}
            if suite in suites:
                raise UsageError(
                    f"suite {suite!r} has no source to learn on; name one: source=NAME"
                )
            raise unknown("suite is named", suite, suites, "suites", self.complaints())
        datasets = self.all("datasets")
        return next((name for name in sources if datasets[name].large == large), sources[0])

    def _vet(self, kind: str, name: str, component: Any) -> None:
        """Check the options of a component, once."""
        if (kind, name) not in self._vetted:
            self._vetted.add((kind, name))
            if fault := faulty_options(component):
                self.faulty[kind, name] = f"{SINGULAR[kind]} {name!r} cannot be used: {fault}"

    def _collect(self, kind: str) -> dict[str, Any]:
        collected: dict[str, Any] = {}
        for implementation in getattr(self.manager.hook, f"rppbench_{kind}").get_hookimpls():
            plugin = implementation.plugin_name
            try:
                with contained():
                    components = list(islice(implementation.function(), MOST + 1))
                    if len(components) > MOST:
                        raise ValueError(f"its hook rppbench_{kind} lists {kind} without end")
                    checked = [(component, fault_of(kind, component)) for component in components]
            except Exception as error:
                if uncontained():
                    raise
                self.broken[plugin] = error  # as above: reported, not fatal
                continue
            for number, (component, fault) in enumerate(checked, 1):
                if fault:
                    what = f"{SINGULAR[kind]} {number} of plugin {plugin!r}"
                    self.faulty[kind, f"{plugin} {number}"] = f"{what} cannot be used: {fault}"
                    continue
                name = component.name
                if collected.setdefault(name, component) is not component:
                    self.faulty[kind, name] = (
                        f"two {kind} are named {name!r}: {_where(collected[name])} and "
                        f"{_where(component)}; uninstall one of the plugins"
                    )
        return {name: one for name, one in collected.items() if (kind, name) not in self.faulty}


def _where(component: Any) -> str:
    if isinstance(component, type):
        return f"{component.__module__}.{component.__qualname__}"
    return f"{component.name} of {type(component).__module__}"
