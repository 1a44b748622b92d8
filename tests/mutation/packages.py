"""The packages whose code is mutated, and the test files that state what they do."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

_TAPE_TESTS = (
    "tape",
    "tape_details",
    "flow",
    "moved_bytes",
    "written_memory",
    "shape_cache",
    "shape_rules",
    "meta_kernels",
    "known_values",
    "unregistered_weights",
    "cache_inputs",
    "completeness",
    "dead_compute",
    "device_operators",
    "differing_runs",
    "even_routing",
    "hidden_operators",
    "higher_order",
    "nested_tensors",
    "programs",
    "repeated_peaks",
    "saved_bytes",
    "sparse_and_complex_models",
    "summed_products",
)

# Source files below `archaudit` and test files below `tests`, each a folder or a pattern. Only a package's own tests count, not those of
# other packages that happen to fail.
PACKAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "align": (("align", "index"), ("align", "index", "diff")),
    "diff": (("diff",), ("diff", "align")),
    "judge": (("judge",), ("judge", "claims", "pipeline/test_timing.py")),
    "metrics": (("metrics", "schema/quantity.py"), ("metrics", "schema/test_quantity.py", "schema/test_spelling.py", "diff", "judge")),
    "formulas": (("measure/formulas",), ("measure/formulas", "measure/test_unregistered_weights.py", "measure/test_higher_order.py")),
    "tape": (("measure/tape",), tuple(f"measure/test_{name}.py" for name in _TAPE_TESTS)),
}


def list_sources(package: str) -> list[str]:
    """The package's source files, relative to the project, in order."""
    found = [path for name in PACKAGES[package][0] for path in _expand("archaudit", name)]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def list_tests(package: str) -> list[str]:
    """The test files that state what the package does, in the order given."""
    found = [path for name in PACKAGES[package][1] for path in _expand("tests", name) if path.name.startswith("test_")]
    return list(dict.fromkeys(path.relative_to(ROOT).as_posix() for path in found))


def _expand(folder: str, name: str) -> list[Path]:
    """The Python files of a folder, or those that a pattern matches."""
    path = ROOT / folder / name
    return sorted(path.rglob("*.py") if path.is_dir() else path.parent.glob(path.name))
