"""Formulas of other packages: entry points of the group `archaudit.formulas`.

An entry point names a module that registers formulas when imported, or a function that registers them when called:

    [project.entry-points."archaudit.formulas"]
    mykernels = "mykernels.costs"

    # mykernels/costs.py
    from archaudit.measure.formulas import formula

    @formula("mykernels::fused_mlp")
    def count_fused_mlp(inputs, up, down, *, out):
        rows = inputs.shape[0]
        return ((rows, *up.shape), (rows, *down.shape))
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from archaudit.errors import ConfigError

GROUP = "archaudit.formulas"

_loaded: set[EntryPoint] = set()


def load_plugins() -> tuple[str, ...]:
    """Load every installed plugin once; returns the names of all, sorted.

    Raises ConfigError naming the plugin that cannot be imported or that fails.
    """
    found = entry_points(group=GROUP)
    for entry in found:
        if entry not in _loaded:
            _load(entry)
            _loaded.add(entry)
    return tuple(sorted({entry.name for entry in found}))


def _load(entry: EntryPoint) -> None:
    try:
        plugin = entry.load()
        if callable(plugin):
            plugin()
    except Exception as error:
        raise ConfigError(
            f"the formulas plugin {entry.name!r} ({entry.value}) failed: {type(error).__name__}: {error}",
            "Repair or uninstall the package that provides it.",
        ) from error
