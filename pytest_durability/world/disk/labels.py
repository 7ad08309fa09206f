"""A replay names the chains of a crash state by text, so each chain needs one name that people can read.

Rule: a name follows from the log alone and no two chains share one. Paths are those after the op at which the cut was made;
what has no path there gets its last one with `#` and its inode, and `#` in real paths is doubled.
"""

from __future__ import annotations

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.chains import Chain, Chains
from pytest_durability.world.disk.materialise import Materialiser, View


def label(chains: Chains, chain: Chain, seq: int) -> str:
    """`names`, `name(dir/file)`, `size(file)` or `page(file,0)`, with the paths right after op `seq`."""
    view = Materialiser.of(chains).view(seq, chains.names.at(seq))
    if chain.kind == "names":
        return "names"
    if chain.kind == "name":
        return f"name({_joined(_folder(chains, view, chain.owner, seq), str(chain.part))})"
    path = file_path(chains, view, chain.owner, seq)
    return f"size({path})" if chain.kind == "size" else f"page({path},{chain.part})"


def file_path(chains: Chains, view: View, ino: int, seq: int) -> str:
    """The path of a file, or its last one with its inode."""
    paths = view.paths.get(ino)
    if paths:
        return _escaped(paths[0])
    return f"{_last(chains, view, ino, seq, frozenset())}#{ino}"


def _folder(chains: Chains, view: View, ino: int, seq: int, seen: frozenset[int] = frozenset()) -> str:
    path = view.dirs.get(ino)
    if path is not None:
        return _escaped(path)
    return f"{_last(chains, view, ino, seq, seen)}#{ino}"


def _last(chains: Chains, view: View, ino: int, seq: int, seen: frozenset[int]) -> str:
    homes = [chain for born, chain in chains.homes.get(ino, ()) if born <= seq]
    if not homes or ino in seen or ino == fx.ROOT:
        return ""
    return _joined(_folder(chains, view, homes[-1].owner, seq, seen | {ino}), str(homes[-1].part))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{_escaped(name)}" if folder else _escaped(name)


def _escaped(path: str) -> str:
    return path.replace("#", "##")
