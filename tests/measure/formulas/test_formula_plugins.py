from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from archaudit.errors import ConfigError
from archaudit.measure.formulas import load_plugins, register_formula, registry
from archaudit.measure.formulas import registry as plugins


@pytest.fixture
def install(monkeypatch):
    """Installs entry points whose targets are attributes of a module made for the test."""
    monkeypatch.setattr(registry, "_FORMULAS", dict(registry._FORMULAS))
    monkeypatch.setattr(plugins, "_loaded", set())
    module = ModuleType("archaudit_test_plugin")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def install(**targets):
        for name, target in targets.items():
            setattr(module, name, target)
        entries = [EntryPoint(name, f"archaudit_test_plugin:{name}", plugins.GROUP) for name in targets]
        monkeypatch.setattr(plugins, "entry_points", lambda group: entries)
        return entries

    return install


def test_a_plugin_function_registers_formulas_once(install):
    calls = []

    def costs():
        calls.append(1)
        register_formula("kernels::fused", lambda **_: 3)

    install(costs=costs)
    assert load_plugins() == load_plugins() == ("costs",)
    assert calls == [1]
    assert registry.find_formula("kernels::fused", "default") is not None


def test_a_plugin_may_be_a_module(install):
    install(costs=ModuleType("costs"))
    assert load_plugins() == ("costs",)


def test_a_failing_plugin_is_named(install):
    def broken():
        raise RuntimeError("no kernels here")

    install(broken=broken)
    with pytest.raises(ConfigError, match=r"'broken' \(archaudit_test_plugin:broken\) failed: RuntimeError: no kernels here"):
        load_plugins()


def test_a_plugin_that_cannot_be_imported_is_named(install, monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [EntryPoint("gone", "archaudit_no_such_module", plugins.GROUP)])
    with pytest.raises(ConfigError, match="'gone'"):
        load_plugins()


def test_without_plugins_nothing_is_loaded(install):
    install()
    assert load_plugins() == ()
