"""Other paths of modules that stand in a model several times: a state_dict has the keys of each, the tree lists such a module once."""

from __future__ import annotations

from collections import defaultdict

from archaudit.measure.structure.tree import ModuleTree, iterate_children

# A module shared at every level of a deep model has exponentially many paths.
_MOST_PATHS = 100_000


def list_aliases(tree: ModuleTree) -> dict[int, tuple[str, ...]]:
    """For the position of each module that has them, its paths besides the one in the tree; those of modules inside it too."""
    links = [[(name, tree.positions[id(child)]) for name, child in iterate_children(module)] for module in tree.modules]
    if sum(map(len, links)) == len(tree) - 1:
        return {}
    aliases: defaultdict[int, list[str]] = defaultdict(list)
    pending: list[tuple[int, str, tuple[int, ...]]] = [(0, "", ())]
    for _ in range(_MOST_PATHS):
        if not pending:
            break
        position, path, above = pending.pop()
        if path != tree.paths[position]:
            aliases[position].append(path)
        for name, child in reversed(links[position]):
            if child != position and child not in above:
                pending.append((child, f"{path}.{name}" if above or path else name, (*above, position)))
    return {position: tuple(paths) for position, paths in aliases.items()}
