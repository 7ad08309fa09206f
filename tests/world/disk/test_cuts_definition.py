"""The walk over crash states is compared with the definition of a crash state, written down a second time as plain rules.

The definition here shares no code with the walk: it replays the log into lists of versions, lists "if this chain is at least
at version i, that one is at least at j", and tries every combination after every op.
"""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_durability.history import History, Lane, Op
from pytest_durability.persistence import EXT4_DELALLOC, EXT4_NOAUTO, MODELS, POSIX, PROCESS_KILL, STRICT, PersistenceModel
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.chains import Chains
from pytest_durability.world.disk.cuts import find, walk
from pytest_durability.world.disk.image import EMPTY, File, Image, number
from pytest_durability.world.disk.tree import Tree

LOCAL = [model for model in MODELS.values() if model.mount is None]
"""The models of local file systems; what stores whole objects is walked by other code and has tests of its own."""

PAGE = 4096
INITIAL = (
    EMPTY,
    Image((File("a", b"old-a" * 3, 1),)),
    Image((File("a", b"A" * 4100, 1), File("b", b"A" * 4100, 1), File("d/x", b"x", 2)), ("d",), (("ln", "a"),)),
)


# -- the definition, once more


class Definition:
    """Versions and rules of one log, by replaying it naively."""

    def __init__(self, image: Image, ops: list[Op], model: PersistenceModel) -> None:
        self.model, self.journaled = model, model.names != "entries"
        self.versions: dict[object, list[tuple[int, object]]] = {}  # chain -> [(op, value)]
        self.rules: list[tuple[object, int, object, int]] = []  # chain a at >= i needs chain b at >= j
        self.durable: dict[object, list[tuple[int, int]]] = defaultdict(list)  # chain -> [(op, lowest version)]
        self.dead: dict[object, list[tuple[int, int]]] = defaultdict(list)  # chain -> [(op, impossible version)]
        self.cuts: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.dirs, self.targets, self.moved = {0}, {}, set()
        self.tree: dict[tuple[int, str], int] = {}
        self.reopened: dict[int, tuple[int, int, int]] = {}
        self.holes: set[tuple[int, int]] = set()
        self.end = ops[-1].seq if ops else 0
        self.start(image)
        for op in ops:
            if op.effect is not None:
                before = {chain: len(found) for chain, found in self.versions.items()}
                getattr(self, "on_" + type(op.effect).__name__.lower())(op.seq, op.effect)
                if model.names == "live":
                    for chain, found in self.versions.items():
                        if before.get(chain, 0) != len(found):
                            self.secure(chain, op.seq)

    def start(self, image: Image) -> None:
        inos = {"": 0, **number(image)}
        self.dirs |= {inos[path] for path in image.dirs}
        self.targets = {inos[path]: target for path, target in image.links}
        for path, ino in inos.items():
            if path:
                folder, _, name = path.rpartition("/")
                self.tree[inos[folder], name] = ino
        for file in image.files:
            ino = inos[file.path]
            self.versions["S", ino] = [(0, len(file.data))]
            for at in range(0, len(file.data), PAGE):
                self.versions["P", ino, at // PAGE] = [(0, file.data[at : at + PAGE].ljust(PAGE, b"\0"))]
        if self.journaled:
            self.versions["N"] = [(0, dict(self.tree))]
        else:
            for key, ino in self.tree.items():
                self.versions["D", *key] = [(0, ino)]

    def newest(self, chain: object) -> int:
        return len(self.versions[chain]) - 1

    def secure(self, chain: object, seq: int, at: int | None = None) -> None:
        at = self.newest(chain) if at is None else at
        self.durable[chain].append((seq, at))
        for a, i, b, j in list(self.rules):  # a directory rename is one step: half of it is not durable alone
            if a == chain and i <= at and a[0] == b[0] == "D" and not any(at2 >= j for _s, at2 in self.durable[b]):
                self.secure(b, seq, j)

    def name(self, seq: int, *changes: tuple[int, str, int | None]) -> None:
        for parent, name, ino in changes:
            self.tree.pop((parent, name), None)
            if ino is not None:
                self.tree[parent, name] = ino
            if not self.journaled:
                self.versions.setdefault(("D", parent, name), [(0, None)]).append((seq, ino))
        if self.journaled:
            self.versions["N"].append((seq, dict(self.tree)))

    def pages(self, ino: int) -> list[object]:
        return [chain for chain in self.versions if chain[0] == "P" and chain[1] == ino]

    def need_names(self, chain: object) -> None:
        if self.journaled:
            self.rules.append((chain, self.newest(chain), "N", self.newest("N")))

    def on_create(self, seq: int, e: fx.Create) -> None:
        self.name(seq, (e.parent, e.name, e.ino))
        self.versions["S", e.ino] = [(seq, 0)]

    def on_mkdir(self, seq: int, e: fx.Mkdir) -> None:
        self.dirs.add(e.ino)
        self.name(seq, (e.parent, e.name, e.ino))

    def on_symlink(self, seq: int, e: fx.Symlink) -> None:
        self.targets[e.ino] = e.target
        self.name(seq, (e.parent, e.name, e.ino))

    def on_link(self, seq: int, e: fx.Link) -> None:
        self.name(seq, (e.parent, e.name, e.ino))

    def on_unlink(self, seq: int, e: fx.Unlink) -> None:
        self.name(seq, (e.parent, e.name, None))

    on_rmdir = on_unlink

    def on_rename(self, seq: int, e: fx.Rename) -> None:
        self.name(seq, (e.parent, e.name, None), (e.new_parent, e.new_name, e.ino))
        if e.ino in self.dirs and not self.journaled:
            self.moved.add(e.ino)
            a, b = ("D", e.parent, e.name), ("D", e.new_parent, e.new_name)
            self.rules += [(a, self.newest(a), b, self.newest(b)), (b, self.newest(b), a, self.newest(a))]
        if e.ino not in self.dirs and self.model.replace_flushes and e.replaced is not None and e.ino not in self.targets:
            for chain in [("S", e.ino), *self.pages(e.ino)]:
                self.rules.append(("N", self.newest("N"), chain, self.newest(chain)))

    def on_write(self, seq: int, e: fx.Write) -> None:
        end = e.offset + len(e.data)
        for page in range(e.offset // PAGE, (end + PAGE - 1) // PAGE):
            chain = ("P", e.ino, page)
            if chain not in self.versions:
                self.versions[chain] = [(self.versions["S", e.ino][0][0], bytes(PAGE))]
                self.holes.add((e.ino, page))
            buffer = bytearray(self.versions[chain][-1][1])
            for at in range(max(e.offset, page * PAGE), min(end, page * PAGE + PAGE)):
                buffer[at - page * PAGE] = e.data[at - e.offset]
            if bytes(buffer) != self.versions[chain][-1][1]:
                self.versions[chain].append((seq, bytes(buffer)))
                if (e.ino, page) in self.holes:
                    self.holes.discard((e.ino, page))
                    self.need_names(chain)
        size = ("S", e.ino)
        if end > self.versions[size][-1][1]:
            self.versions[size].append((seq, end))
            self.need_names(size)
            if self.model.size_needs_pages:
                self.rules += [(size, self.newest(size), page, self.newest(page)) for page in self.pages(e.ino)]

    def on_truncate(self, seq: int, e: fx.Truncate) -> None:
        size = ("S", e.ino)
        before = self.versions[size][-1][1]
        if e.size == before:
            return
        if self.journaled:
            self.versions["N"].append((seq, dict(self.tree)))
        self.versions[size].append((seq, e.size))
        self.need_names(size)
        if self.journaled:
            self.rules.append(("N", self.newest("N"), size, self.newest(size)))
        if e.size < before:
            self.cuts[e.ino].append((seq, e.size))
            for chain in self.pages(e.ino):
                self.cut_page(seq, chain, e.size - chain[2] * PAGE, size)
        if e.size == 0 and self.journaled and e.ino not in self.reopened:
            self.reopened[e.ino] = (seq, self.newest(size), self.newest("N"))

    def cut_page(self, seq: int, chain: tuple[str, int, int], keep: int, size: object) -> None:
        if keep >= PAGE:
            return
        old = self.versions[chain][-1][1]
        new = old[: max(keep, 0)].ljust(PAGE, b"\0")
        if new != old:
            self.versions[chain].append((seq, new))
            if keep <= 0:
                self.need_names(chain)
        if keep <= 0:
            self.holes.add(chain[1:])
        if self.model.size_needs_pages:
            self.rules.append((size, self.newest(size), chain, self.newest(chain)))

    def on_sync(self, seq: int, e: fx.Sync) -> None:
        for chain in [("S", e.ino), *self.pages(e.ino)]:
            self.secure(chain, seq)
        if self.model.sync_commits_names:
            self.secure("N", seq)

    def on_syncdir(self, seq: int, e: fx.SyncDir) -> None:
        for chain in list(self.versions):
            if chain == "N" or (chain[0] == "D" and chain[1] == e.ino):
                self.secure(chain, seq)

    def on_syncall(self, seq: int, _e: fx.SyncAll) -> None:
        for chain in list(self.versions):
            self.secure(chain, seq)

    def on_close(self, seq: int, e: fx.Close) -> None:
        found = self.reopened.pop(e.ino, None)
        if found is None or not self.model.replace_flushes:
            return
        since, size, names = found
        if any(at >= names for _s, at in self.durable["N"]) or any(at >= size for _s, at in self.durable["S", e.ino]):
            return
        least = 0
        for chain in [("S", e.ino), *self.pages(e.ino)]:
            for at, (born, _value) in enumerate(self.versions[chain][:-1]):
                if born >= since:
                    self.dead[chain].append((seq, at))
            least = max([least, *(j for a, i, b, j in self.rules if a == chain and b == "N")])
        self.dead["N"] += [(seq, at) for at in range(names, least)]

    # -- every combination

    def states(self) -> set[tuple[int, str]]:
        return {(k, self.image(k, cut).key()) for k in range(self.end + 1) for cut in self.legal(k)}

    def legal(self, k: int):
        chains = [chain for chain, found in self.versions.items() if found[0][0] <= k]
        axes = []
        for chain in chains:
            low = max([0, *(at for seq, at in self.durable[chain] if seq <= k)])
            dead = {at for seq, at in self.dead[chain] if seq <= k}
            axes.append([at for at, (born, _v) in enumerate(self.versions[chain]) if born <= k and low <= at and at not in dead])
        for pick in itertools.product(*axes):
            cut = dict(zip(chains, pick, strict=True))
            if all(cut.get(a, -1) < i or cut.get(b, -1) >= j for a, i, b, j in self.rules) and self.places(cut):
                yield cut

    def named(self, cut: dict[object, int]) -> dict[tuple[int, str], int]:
        if self.journaled:
            return self.versions["N"][cut["N"]][1]
        found = {chain[1:]: self.versions[chain][at][1] for chain, at in cut.items() if chain[0] == "D"}
        return {key: ino for key, ino in found.items() if ino is not None}

    def reach(self, tree: dict[tuple[int, str], int]) -> dict[int, str]:
        paths, grown = {0: ""}, True
        while grown:
            grown = False
            for (parent, name), ino in tree.items():
                if parent in paths and ino in self.dirs and ino not in paths:
                    paths[ino] = f"{paths[parent]}/{name}".lstrip("/")
                    grown = True
        return paths

    def places(self, cut: dict[object, int]) -> bool:
        """A renamed directory is somewhere, unless all that the state kept of it happened in directories whose making is lost."""
        if not self.moved:
            return True
        tree, above = self.named(cut), defaultdict(set)
        for chain, at in cut.items():
            for _seq, ino in self.versions[chain][: at + 1] if chain[0] == "D" else ():
                above[ino].add(chain[1])
        seen, grown = {0}, True
        while grown:
            new = {ino for ino, parents in above.items() if parents & seen} - seen
            seen, grown = seen | new, bool(new)
        return not ((self.moved & set(tree.values())) - set(self.reach(tree))) & seen

    def image(self, _k: int, cut: dict[object, int]) -> Image:
        tree = self.named(cut)
        paths = self.reach(tree)
        files, links = [], []
        for (parent, name), ino in tree.items():
            if parent in paths and ino not in self.dirs:
                path = f"{paths[parent]}/{name}".lstrip("/")
                if ino in self.targets:
                    links.append((path, self.targets[ino]))
                else:
                    files.append(File(path, self.content(ino, cut), ino))
        files.sort(key=lambda file: file.path)
        return Image(tuple(files), tuple(sorted(path for path in paths.values() if path)), tuple(sorted(links)))

    def content(self, ino: int, cut: dict[object, int]) -> bytes:
        until, size = self.versions["S", ino][cut["S", ino]]
        data = bytearray(size)
        for chain, at in cut.items():
            if chain[0] == "P" and chain[1] == ino:
                born, page = self.versions[chain][at]
                shown = bytearray(page)
                for seq, kept in self.cuts[ino]:
                    if not self.model.size_needs_pages and born < seq <= until:
                        keep = min(PAGE, max(0, kept - chain[2] * PAGE))
                        shown[keep:] = bytes(PAGE - keep)
                base = chain[2] * PAGE
                data[base : base + PAGE] = shown[: max(0, size - base)]
        return bytes(data[:size])


# -- random logs


class Program:
    """Turns drawn numbers into a log that a real program could have produced."""

    def __init__(self, image: Image) -> None:
        inos = {"": 0, **number(image)}
        self.history = History()
        self.dirs = {0: set(), **{inos[path]: set() for path in image.dirs}}
        self.sizes = {inos[file.path]: len(file.data) for file in image.files}
        self.links = {inos[path] for path, _target in image.links}
        self.tree = {}
        for path, ino in inos.items():
            if path:
                folder, _, name = path.rpartition("/")
                self.tree[inos[folder], name] = ino
        self.following = max(inos.values()) + 1
        self.recent = 0

    def fresh(self) -> int:
        self.following += 1
        return self.following - 1

    def do(self, effect: object) -> None:
        self.history.add(Lane.DISK, type(effect).__name__.lower(), effect=effect, site="store.py:1")

    def step(self, kind: str, a: int, b: int, c: int) -> None:
        files, entries = sorted(self.sizes), sorted(self.tree)
        dirs = sorted(ino for ino in self.dirs if ino == 0 or ino in self.tree.values())
        place = (dirs[b % len(dirs)], "abc"[c % 3])
        if kind == "user":
            self.history.add(Lane.USER, "append", "t1")
        elif kind in ("create", "mkdir") and place not in self.tree:
            ino = self.tree[place] = self.fresh()
            if kind == "mkdir":
                self.dirs[ino] = set()
                self.do(fx.Mkdir(*place, ino))
            else:
                self.recent = ino
                self.sizes[ino] = 0
                self.do(fx.Create(*place, ino))
        elif kind in ("write", "append", "truncate", "empty", "fsync", "close") and files:
            self.recent = self.recent if a % 3 and self.recent in files else files[a % len(files)]
            self.on_file(kind, self.recent, b, c)
        elif kind == "fsyncdir":
            self.do(fx.SyncDir(dirs[a % len(dirs)]))
        elif kind == "sync":
            self.do(fx.SyncAll())
        elif kind in ("unlink", "rename", "link") and entries:
            recent = [entry for entry in entries if self.tree[entry] == self.recent] if a % 2 else []
            self.on_entry(kind, recent[0] if recent else entries[a % len(entries)], place)
        elif kind == "replace" and len(files) > 1 and entries:
            old = [entry for entry in entries if self.tree[entry] == self.recent] or entries
            others = [entry for entry in entries if self.tree[entry] in files]
            self.on_entry("rename", old[0], others[b % len(others)] if others else place)
        elif kind == "move" and len(dirs) > 1:
            moving = [entry for entry in entries if self.tree[entry] in dirs]
            self.on_entry("rename", moving[a % len(moving)], (dirs[b % len(dirs)], "abc"[c % 3]))

    def on_file(self, kind: str, ino: int, b: int, c: int) -> None:
        size = self.sizes[ino]
        if kind in ("write", "append"):
            offset = size if kind == "append" else (0, 2, PAGE - 2, PAGE, 1)[b % 5]
            length = (1, 3, 5, PAGE + 4)[c % 4] if c % 7 else 2
            data = (b"%c" % (97 + len(self.history) % 26)) * length if c % 5 else b"z\0"
            self.sizes[ino] = max(size, offset + len(data))
            self.do(fx.Write(ino, offset, data, append=kind == "append"))
        elif kind == "empty":
            self.sizes[ino] = 0
            self.do(fx.Truncate(ino, 0))
        elif kind == "truncate":
            self.sizes[ino] = (0, 0, 1, 4, PAGE - 1, PAGE, size + 3)[c % 7]
            self.do(fx.Truncate(ino, self.sizes[ino]))
        else:
            self.do(fx.Sync(ino) if kind == "fsync" else fx.Close(ino))

    def below(self, ino: int, top: int) -> bool:
        while ino and ino != top:
            ino = next(parent for (parent, _name), child in self.tree.items() if child == ino)
        return ino == top

    def on_entry(self, kind: str, old: tuple[int, str], new: tuple[int, str]) -> None:
        ino, there = self.tree[old], self.tree.get(new)
        is_dir = ino in self.dirs
        if kind == "unlink":
            if is_dir and any(parent == ino for parent, _name in self.tree):
                return
            del self.tree[old]
            self.do(fx.Rmdir(*old, ino) if is_dir else fx.Unlink(*old, ino))
        elif kind == "link" and not is_dir and there is None:
            self.tree[new] = ino
            self.do(fx.Link(*new, ino))
        elif kind == "rename" and there != ino and not (is_dir and self.below(new[0], ino)):
            if there is not None and (is_dir or there in self.dirs):
                return
            del self.tree[old]
            self.tree[new] = ino
            self.do(fx.Rename(*old, *new, ino, there, is_dir))


KINDS = {
    "everything": (
        "create", "create", "mkdir", "write", "write", "append", "append", "truncate", "fsync", "fsyncdir", "close", "sync",
        "unlink", "rename", "rename", "link", "user",
    ),
    "saves": ("create", "empty", "append", "append", "write", "close", "replace", "truncate", "fsync", "unlink", "fsyncdir"),
    "directories": ("mkdir", "mkdir", "move", "move", "create", "unlink", "rename", "fsyncdir", "sync"),
}  # fmt: skip
small = st.integers(0, 20)


def logs(longest: int) -> st.SearchStrategy[tuple[Image, list[Op]]]:
    """An initial image and a log that a real program could have produced on it."""
    steps = [st.tuples(st.sampled_from(kinds), small, small, small) for kinds in KINDS.values()]
    drawn = st.one_of([st.lists(step, min_size=1, max_size=longest) for step in steps])
    return st.tuples(st.sampled_from(INITIAL), drawn).map(lambda pair: (pair[0], program(*pair)))


def program(image: Image, drawn: list[tuple[str, int, int, int]]) -> list[Op]:
    """The log that these numbers stand for."""
    made = Program(image)
    for step in drawn:
        made.step(*step)
    return list(made.history)


def walked(chains: Chains) -> set[tuple[int, str]]:
    """(crash point, content) of every cut, without bounds."""
    return {(k, cut.image().key()) for cut in walk(chains, lagging=None, versions=None) for k in range(cut.first, cut.last + 1)}


thorough = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
quick = settings(thorough, max_examples=40)


@pytest.mark.parametrize("model", LOCAL, ids=str)
@thorough
@given(log=logs(9))
def test_the_walk_finds_exactly_what_the_definition_allows(model, log):
    """Unbounded, the walk yields the contents and crash points of the definition: none more, none less."""
    image, ops = log
    assert walked(Chains.build(image, ops, model)) == Definition(image, ops, model).states()


@pytest.mark.parametrize("model", LOCAL, ids=str)
@quick
@given(log=logs(9))
def test_no_cut_comes_twice(model, log):
    """Within the default bounds a choice of versions is yielded once, at the op that made it possible."""
    chains = Chains.build(*log, model)
    cuts = list(walk(chains))
    assert len({(cut.first, frozenset(cut.picks)) for cut in cuts}) == len(cuts)


@pytest.mark.parametrize("model", LOCAL, ids=str)
@quick
@given(log=logs(9))
def test_content_tells_images_apart(model, log):
    """Two cuts have equal content exactly if their images are equal."""
    cuts = list(walk(Chains.build(*log, model)))
    pairs = {(cut.content, cut.image().key()) for cut in cuts}
    assert len(pairs) == len({content for content, _key in pairs}) == len({key for _content, key in pairs})


@pytest.mark.parametrize("model", LOCAL, ids=str)
@quick
@given(log=logs(9))
def test_a_cut_is_found_again_by_its_names(model, log):
    """`find` rebuilds every cut of the walk from op number and chain names, on chains built anew."""
    chains, again = Chains.build(*log, model), Chains.build(*log, model)
    for cut in walk(chains, lagging=3, versions=None):
        assert len(set(cut.lag)) == len(cut.lag)
        found = find(again, cut.first, cut.lag)
        assert (found.first, found.last, found.content, found.lag) == (cut.first, cut.last, cut.content, cut.lag)
        assert found.image() == cut.image()


@pytest.mark.parametrize("model", LOCAL, ids=str)
@quick
@given(log=logs(9))
def test_bounds_only_leave_out(model, log):
    """A bounded walk yields a part of the unbounded one, and says so: exactly with one chain behind, safely with more."""
    chains = Chains.build(*log, model)
    for lagging, versions in ((1, 0), (1, 1), (None, 0), (None, 1)):
        everything = {(cut.first, cut.picks): cut for cut in walk(chains, lagging=lagging, versions=None)}
        bounded = walk(chains, lagging=lagging, versions=versions)
        some = {(cut.first, cut.picks): cut for cut in bounded}
        left_out = len(everything) - len(some)
        assert some.items() <= everything.items()
        assert bounded.bounded or not left_out
        assert lagging is None or bounded.bounded == bool(left_out)


@quick
@given(log=logs(8))
def test_posix_allows_what_any_other_model_allows(log):
    """What holds in every state under posix holds under the other models: their states are among those of posix."""
    loosest = walked(Chains.build(*log, POSIX))
    ext4 = walked(Chains.build(*log, EXT4_NOAUTO))
    assert walked(Chains.build(*log, EXT4_DELALLOC)) <= ext4 <= loosest
    assert walked(Chains.build(*log, PROCESS_KILL)) == walked(Chains.build(*log, STRICT)) <= ext4


@quick
@given(log=logs(12))
def test_a_killed_process_leaves_what_it_wrote(log):
    """Under process-kill there is one state per crash point: the live tree, as replayed op by op."""
    image, ops = log
    chains = Chains.build(image, ops, PROCESS_KILL)
    tree, found = Tree.from_image(image), {}
    for cut in walk(chains):
        for point in range(cut.first, cut.last + 1):
            assert point not in found
            found[point] = cut.image().key()
    expected = {0: tree.image().key()}
    for op in ops:
        if op.effect is not None:
            tree.apply(op.effect)
        expected[op.seq] = tree.image().key()
    assert found == expected


@pytest.mark.parametrize("model", LOCAL, ids=str)
@quick
@given(log=logs(9))
def test_losses_are_told_exactly_where_something_is_lost(model, log):
    """A state that equals the newest one lost nothing; one that differs names at least one lost operation, with a reason."""
    image, ops = log
    chains = Chains.build(image, ops, model)
    tree, newest = Tree.from_image(image), [Tree.from_image(image).image().key()]
    for op in ops:
        if op.effect is not None:
            tree.apply(op.effect)
        newest.append(tree.image().key())
    for cut in walk(chains):
        for point in (cut.first, cut.last):
            lost = cut.losses(point)
            assert lost or cut.image().key() == newest[point]
            assert all(loss.why and loss.what and 0 < loss.seq <= point for loss in lost)
            assert [loss.seq for loss in lost] == sorted({loss.seq for loss in lost})
