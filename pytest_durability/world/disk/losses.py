"""A crash state alone convinces nobody: this says which operations it lost, and by what rule the file system may lose them.

Rule: an operation is lost if one of its effects is missing, compared with everything done when the state is found at the end of
its interval. Every loss names the rule of the model and the last sync that could have prevented it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_durability.verdict import Loss
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.chains import Chain, Chains
from pytest_durability.world.disk.choices import Choice
from pytest_durability.world.disk.labels import file_path, label
from pytest_durability.world.disk.materialise import Materialiser, View


def losses(chains: Chains, choice: Choice, first: int, last: int, behind: Mapping[Chain, int]) -> list[Loss]:
    """The lost operations, in order, of the state that these choices describe, when it is found right after op `last`."""
    found: dict[int, Loss] = {}
    for chain, at in _missing(chains, choice, first, last, behind):
        for version in range(at + 1, chain.at(last) + 1):
            seq = chain.born[version]
            if seq in chains.ops and seq not in found:
                found[seq] = _loss(chains, chain, at, seq)
    return [found[seq] for seq in sorted(found)]


def _missing(chains: Chains, choice: Choice, first: int, last: int, behind: Mapping[Chain, int]) -> Iterator[tuple[Chain, int]]:
    """(chain, version in the state) of every chain of the state, or of the newest names at `last`."""
    disk = Materialiser.of(chains)
    if chains.journaled:
        yield chains.names, choice.names
    else:
        held = dict(choice.behind)
        for chain in chains.entries.values():
            at = held.get(chain)
            yield chain, max(0, chain.at(first)) if at is None else at
    # A file that has no name in this state lost its name, which is told above; its bytes may well be durable.
    for ino in choice.view.paths:
        for chain in chains.files[ino].chains():
            at = behind.get(chain)
            yield chain, disk.top(chain, first, choice.names) if at is None else at


def _loss(chains: Chains, chain: Chain, at: int, seq: int) -> Loss:
    op = chains.ops[seq]
    view = Materialiser.of(chains).view(seq, chains.names.at(seq))
    return Loss(seq, describe(chains, op.effect, view, seq), op.site, _why(chains, chain, chain.born[at], seq))


def describe(chains: Chains, effect: object, view: View, seq: int) -> str:
    """One operation in a few words, with the paths right after it."""
    match effect:
        case fx.Write(ino=ino, data=data):
            return f"write {file_path(chains, view, ino, seq)} {len(data)} B"
        case fx.Truncate(ino=ino, size=size):
            return f"truncate {file_path(chains, view, ino, seq)} to {size} B"
        case fx.Rename(parent=old, name=name, new_parent=new, new_name=new_name):
            return f"rename {_place(chains, old, name, seq)} to {_place(chains, new, new_name, seq)}"
        case fx.Create(parent=parent, name=name) | fx.Mkdir(parent=parent, name=name) | fx.Symlink(parent=parent, name=name):
            return f"{type(effect).__name__.lower()} {_place(chains, parent, name, seq)}"
        case fx.Link(parent=parent, name=name) | fx.Unlink(parent=parent, name=name) | fx.Rmdir(parent=parent, name=name):
            return f"{type(effect).__name__.lower()} {_place(chains, parent, name, seq)}"
        case _:
            return type(effect).__name__.lower()


def _place(chains: Chains, parent: int, name: str, seq: int) -> str:
    return label(chains, chains.entries[parent, name], seq)[len("name(") : -1]


def _why(chains: Chains, chain: Chain, born: int, seq: int) -> str:
    text = label(chains, chain, seq)
    what = text[text.index("(") + 1 : -1] if "(" in text else "the journal"
    if chain.kind == "page":
        what = what.rpartition(",")[0]
    if not chains.model.power:
        return f"the process was killed before op {seq}"
    if chains.model.names == "live":
        return f"power failed before op {seq}"
    since = f"op {born}" if born else "the start"
    if chain.kind == "names":
        return f"ext4 commits names and truncations in one journal, in order; nothing that commits it was called after {since}"
    if chain.kind == "name":
        folder = what.rpartition("/")[0] or "the root"
        return (
            f"POSIX makes a name durable only by a sync of its directory; nothing synced {folder} between {since} and the crash"
        )
    if chains.journaled:
        return f"ext4 keeps data in memory until writeback (delalloc); nothing synced {what} after {since}"
    kind = "a page" if chain.kind == "page" else "the size"
    return f"POSIX lets {kind} of a file stay behind until fsync; nothing synced {what} after {since}"
