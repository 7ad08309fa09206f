"""Crash states of mounts that PUT whole files: against a naive replay of what was sent, and by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_durability.errors import RecorderError, UsageError
from pytest_durability.history import History, Lane, Op
from pytest_durability.persistence import NETPUT, STRICT, Mount, model
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.image import EMPTY, File, Image
from pytest_durability.world.disk.objects import Objects
from pytest_durability.world.disk.states import bounds, build, find, walk

MANY = 1_000
OLD = Image((File("s", b"old", 1),))
thorough = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def under(**parameters):
    """The model with other parameters."""
    return replace(NETPUT, mount=Mount(**parameters))


def log(*effects: object) -> list[Op]:
    """One disk op per effect; a text is an op of the user."""
    history = History()
    for effect in effects:
        if isinstance(effect, str):
            kind, _, tokens = effect.partition(" ")
            history.add(Lane.USER, kind, tokens)
        else:
            history.add(Lane.DISK, type(effect).__name__.lower(), effect=effect, site=f"store.py:{len(history) + 1}")
    return list(history)


def states(*effects, image=EMPTY, model=NETPUT, **bound):
    """All crash states of a log."""
    return list(walk(build(image, log(*effects), model), **{"lagging": None, "versions": None, **bound}))


def named(cuts):
    """Lag -> files, for the states that are possible after the last op."""
    return {cut.lag: cut.image().data() for cut in cuts if cut.last == cut.objects.last}


def save(ino, data, *, name="s", old=None):
    """Temporary file, fsync, close, rename."""
    return [
        fx.Create(0, "t", ino),
        fx.Write(ino, 0, data),
        fx.Sync(ino),
        fx.Close(ino),
        fx.Rename(0, "t", 0, name, ino, old),
    ]


def append(ino, at, data):
    """Open, write, close."""
    return [fx.Write(ino, at, data, append=True), fx.Close(ino)]


# -- against a naive replay


class Naive:
    """Makes a valid log from numbers, and notes with it what such a mount sends, in the plainest way."""

    def __init__(self, mount: Mount) -> None:
        self.mount, self.effects, self.sends = mount, [], []
        self.tree: dict[str, object] = {"": "dir"}  # path -> "dir" or inode
        self.data: dict[int, bytes] = {}
        self.dirty: set[int] = set()
        self.numbers = {"": 0}
        self.syncs: list[int] = []
        self.fresh = 0

    def emit(self, effect):
        self.effects.append(effect)

    def place(self, path):
        folder, _, name = path.rpartition("/")
        return self.numbers[folder], name

    def send(self, path, value):
        if value is not None or any(where == path and what is not None for _s, where, what in self.sends if self.now(where)):
            self.sends.append((len(self.effects), path, value))

    def now(self, path):
        found = [value for _seq, where, value in self.sends if where == path]
        return found and found[-1] is not None

    def flush(self, ino):
        if ino in self.dirty:
            self.dirty.discard(ino)
            for path in sorted(path for path, held in self.tree.items() if held == ino):
                self.send(path, self.data[ino])

    def change(self, ino):
        self.dirty.add(ino)
        if self.mount.ack_loss == "never":
            self.flush(ino)

    def step(self, code, one, two):
        files = sorted(path for path, held in self.tree.items() if held != "dir")
        folders = sorted(path for path, held in self.tree.items() if held == "dir")
        free = [
            path for folder in folders for path in (f"{folder}/a".lstrip("/"), f"{folder}/b".lstrip("/")) if path not in self.tree
        ]
        free = [path for path in free if path.count("/") < 2]
        act = (self.create, self.write, self.close, self.sync, self.rename, self.unlink, self.mkdir, self.move, self.rmdir)[code]
        act(files, folders, free, one, two)

    def create(self, files, folders, free, one, two):
        if free:
            self.fresh += 1
            path = free[one % len(free)]
            self.emit(fx.Create(*self.place(path), self.fresh))
            self.tree[path], self.data[self.fresh] = self.fresh, b""
            self.change(self.fresh)

    def write(self, files, folders, free, one, two):
        if files:
            ino = self.tree[files[one % len(files)]]
            if two % 3:
                self.emit(fx.Write(ino, len(self.data[ino]), b"%d" % (two % 2), append=True))
                self.data[ino] += b"%d" % (two % 2)
            else:
                self.emit(fx.Truncate(ino, 0))
                self.data[ino] = b""
            self.change(ino)

    def close(self, files, folders, free, one, two):
        if files:
            ino = self.tree[files[one % len(files)]]
            self.emit(fx.Close(ino))
            self.flush(ino)

    def sync(self, files, folders, free, one, two):
        if files:
            ino = self.tree[files[one % len(files)]]
            self.emit(fx.Sync(ino))
            if self.mount.fsync == "put":
                self.flush(ino)
                self.syncs.append(len(self.effects))

    def rename(self, files, folders, free, one, two):
        if files:
            old = files[one % len(files)]
            others = [path for path in (*files, *free) if path != old]
            if not others:
                return
            new = others[two % len(others)]
            ino = self.tree[old]
            self.emit(fx.Rename(*self.place(old), *self.place(new), ino, self.tree.get(new)))
            self.flush(ino)
            del self.tree[old]
            self.tree[new] = ino
            self.send(new, self.data[ino])
            self.send(old, None)

    def unlink(self, files, folders, free, one, two):
        if files:
            path = files[one % len(files)]
            self.emit(fx.Unlink(*self.place(path), self.tree.pop(path)))
            if self.now(path):
                self.send(path, None)

    def mkdir(self, files, folders, free, one, two):
        free = [path for path in free if "/" not in path]
        if free:
            self.fresh += 1
            path = free[one % len(free)]
            self.emit(fx.Mkdir(*self.place(path), self.fresh))
            self.tree[path], self.numbers[path] = "dir", self.fresh
            self.send(path, "dir")

    def move(self, files, folders, free, one, two):
        free = [path for path in free if "/" not in path]
        folders = [path for path in folders if path]
        if free and folders:
            old, new = folders[one % len(folders)], free[two % len(free)]
            self.emit(fx.Rename(0, old, 0, new, self.numbers[old], None, directory=True))
            inside = sorted(path for path in self.tree if path.startswith(f"{old}/"))
            for path in inside:
                self.flush(self.tree[path])
            self.tree[new], self.numbers[new] = self.tree.pop(old), self.numbers.pop(old)
            self.send(new, "dir")
            for path in inside:
                ino = self.tree[new + path[len(old) :]] = self.tree.pop(path)
                self.send(new + path[len(old) :], self.data[ino])
                self.send(path, None)
            self.send(old, None)

    def rmdir(self, files, folders, free, one, two):
        empty = [path for path in folders if path and not any(other.startswith(f"{path}/") for other in self.tree)]
        if empty:
            path = empty[one % len(empty)]
            self.emit(fx.Rmdir(*self.place(path), self.numbers.pop(path)))
            del self.tree[path]
            self.send(path, None)

    # -- what may be left

    def span(self, moment):
        """The first and the last crash point of a prefix of what was sent."""
        seqs = [seq for seq, _path, _value in self.sends]
        possible = []
        for point in range(len(self.effects) + 1):
            waited = point if self.mount.ack_loss != "until_fsync" else max((s for s in self.syncs if s <= point), default=0)
            arrived = all(seq > waited for seq in seqs[moment:])
            during = moment > 0 and seqs[moment - 1] == point and seqs[moment:][:1] == [point]
            if all(seq <= point for seq in seqs[:moment]) and (arrived or during):
                possible.append(point)
        return possible[0], possible[-1]

    def expected(self):
        """Every state with at most one PUT lost or repeated: crash points, and content."""
        found = set()
        for moment in range(len(self.sends) + 1):
            sent = [(path, value) for _seq, path, value in self.sends[:moment]]
            logs = [sent]
            puts = [at for at, (_path, value) in enumerate(sent) if isinstance(value, bytes)]
            logs += [sent[:at] + sent[at + 1 :] for at in puts]
            logs += [[*sent[:to], sent[at], *sent[to:]] for at in puts for to in range(at + 1, moment + 1)]
            honest = dict(sent)
            for one in logs:
                content = {path: value for path, value in dict(one).items() if value is not None}
                differ = [path for path in honest.keys() | content.keys() if honest.get(path) != content.get(path)]
                if all(self.stands(path, honest) for path in differ):
                    found.add((*self.span(moment), frozenset(content.items())))
        return found

    @staticmethod
    def stands(path, honest):
        folder = path.rpartition("/")[0]
        return honest.get(path) != "dir" and (not folder or honest.get(folder) == "dir")


def listed(image):
    """An image in the form of the naive replay."""
    return frozenset([*((file.path, file.data) for file in image.files), *((path, "dir") for path in image.dirs)])


CODES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(0, 5)), max_size=14)
MOUNTS = [
    Mount(late=MANY),
    Mount(late=MANY, fsync="no-op"),
    Mount(late=MANY, ack_loss="never"),
    Mount(late=MANY, ack_loss="until_fsync"),
]


def made(codes, mount):
    """A naive replay of these numbers, and the objects of its log."""
    naive = Naive(mount)
    for code in codes:
        naive.step(*code)
    return naive, Objects.build(EMPTY, log(*naive.effects), replace(NETPUT, mount=mount))


@pytest.mark.parametrize("mount", MOUNTS, ids=str)
@thorough
@given(codes=CODES)
def test_the_walk_finds_what_a_naive_replay_finds(mount, codes):
    """Every prefix of what was sent, whole or with one PUT lost or repeated, at the crash points where that is possible."""
    naive, objects = made(codes, mount)
    found = {(cut.first, cut.last, listed(cut.image())) for cut in walk(objects, lagging=None, versions=None)}
    assert found == naive.expected()


@thorough
@given(codes=CODES, faults=st.integers(0, 3), order=st.sampled_from(["fifo", "per_key", "any"]))
def test_a_state_is_found_again_by_its_name(codes, faults, order):
    """Name, crash points, content and bytes are those of the walk, in any build of the log, and no two have one name."""
    mount = Mount(faults=faults, order=order, ack_loss="until_close" if order == "fifo" else "until_fsync")
    _, objects = made(codes, mount)
    _, again = made(codes, mount)
    cuts = list(walk(objects, lagging=None, versions=None))
    assert len({(cut.first, cut.lag) for cut in cuts}) == len(cuts)
    for cut in cuts:
        found = find(again, cut.first, cut.lag)
        assert (found.first, found.last, found.content, found.lag) == (cut.first, cut.last, cut.content, cut.lag)
        assert found.image() == cut.image()
        assert len(cut.picks) <= faults


def left_by(naive, point, order):
    """For each path what it may hold if the crash comes after op `point` of a mount without order, and what it holds at best."""
    waited = max((s for s in naive.syncs if s <= point), default=0)
    held: dict[str, list[object]] = {}
    best: dict[str, object] = {}
    window: dict[str, int] = {}
    for seq, path, value in naive.sends:
        if seq > point:
            break
        since = max((s for s in naive.syncs if s < seq), default=0)
        together = window.get(path) == since and order == "any"
        if seq <= waited:
            held[path] = [*(held[path] if together else []), value]
        else:
            held[path] = [*held.get(path, [None]), value]
        window[path], best[path] = since, value
    return held, best


FILES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=14)


@pytest.mark.parametrize("order", ["per_key", "any"])
@thorough
@given(codes=FILES)
def test_without_order_each_path_stands_for_itself(order, codes):
    """Nothing but what some arrival of what was under way leaves; and all of that, as long as at most two paths differ."""
    naive, objects = made(codes, Mount(ack_loss="until_fsync", order=order, faults=0))
    shown: dict[int, set[object]] = {}
    for cut in walk(objects, lagging=None, versions=None):
        for point in range(cut.first, cut.last + 1):
            shown.setdefault(point, set()).add(listed(cut.image()))
    for point in range(len(naive.effects) + 1):
        held, best = left_by(naive, point, order)
        single = [(path, value) for path in held for value in held[path]]
        for content in shown.get(point, ()):
            there = dict(content)
            assert all(there.get(path) in held[path] for path in held)
        for first in single:
            for second in single:
                changed = {**best, **dict((first, second))} if order == "per_key" or not naive.syncs else best
                assert frozenset((p, v) for p, v in changed.items() if v is not None) in shown[point]


def test_what_no_order_means():
    """Two files saved without a sync between them: the second alone may be there; after a sync only an earlier PUT of it may win."""
    first, second = [fx.Create(0, "a", 1), *append(1, 0, b"1")], [fx.Create(0, "b", 2), *append(2, 0, b"2"), *append(2, 1, b"3")]

    def left(order, *effects):
        cuts = states(*first, *second, *effects, model=model(f"netput(order={order},ack_loss=until_fsync,faults=0)"))
        return [cut.image().data() for cut in cuts if cut.last == cut.objects.last]

    assert {"b": b"2"} not in left("fifo")
    assert {"b": b"2"} in left("per_key")
    assert left("per_key", fx.SyncAll()) == [{"a": b"1", "b": b"23"}]
    assert left("any", fx.SyncAll()) == [{"a": b"1", "b": b"23"}, {"a": b"1", "b": b"2"}]


def test_a_missing_order_excuses_only_what_a_sync_would_not_have_saved():
    """What is behind was never waited for, so that its loss is one; what was overtaken may be missing."""
    named_model = model("netput(order=any,faults=0)")
    effects = ["append u1", *LIVE, *append(1, 0, b"zu1z"), "ack u1", "append u2", *append(1, 4, b"zu2z"), "ack u2", fx.Sync(1)]
    cuts = {(cut.last, cut.lag): cut for cut in states(*effects, model=named_model)}
    behind = [cut.taken(frozenset(), Counter()) for (_, lag), cut in cuts.items() if lag == ("behind(live)<-2",)]
    assert behind == [frozenset()] * len(behind) != []
    assert cuts[11, ("overtaken(live)<-1",)].taken(frozenset(), Counter()) == {"u2"}
    assert "keeps no order" in cuts[11, ("overtaken(live)<-1",)].losses()[-1].why


@thorough
@given(codes=CODES)
def test_content_tells_images_apart_in_any_model(codes):
    """Equal images have one key, also if the other one is a cut through pages."""
    naive, objects = made(codes, Mount(faults=2))
    cuts = [*walk(objects, lagging=None), *walk(build(EMPTY, log(*naive.effects), STRICT))]
    pairs = {(cut.content, cut.image().key()) for cut in cuts}
    assert len(pairs) == len({content for content, _ in pairs}) == len({key for _, key in pairs})


@thorough
@given(codes=CODES)
def test_a_state_that_lacks_something_says_what(codes):
    """Where a state differs from the directory that the program saw, a loss is told, with its line and a reason."""
    naive, objects = made(codes, Mount())
    live = {cut.first: cut for cut in walk(build(EMPTY, log(*naive.effects), STRICT))}
    for cut in walk(objects):
        for point in (cut.first, cut.last):
            seen = live[max(first for first in live if first <= point)].image()
            lost = cut.losses(point)
            assert lost or listed(cut.image()) == listed(seen)
            assert all(loss.seq <= point and loss.site == f"store.py:{loss.seq}" and "mount" in loss.why for loss in lost)


# -- by hand: what is sent, and when


def test_nothing_of_a_change_is_stored_before_the_close():
    """The write was acknowledged all the same, and the loss says why it may be gone."""
    cuts = states(*append(1, 3, b"er")[:1], image=OLD)
    assert [cut.image().data() for cut in cuts] == [{"s": b"old"}]
    [loss] = cuts[0].losses()
    assert (loss.seq, loss.what) == (1, "write s 2 B")
    assert "stores nothing of a change before the file is closed or synced" in loss.why


def test_a_close_or_a_sync_sends_the_whole_file():
    """A sync that does nothing sends nothing, a mount that writes through sends at once."""
    written, closed, synced = append(1, 3, b"er")[:1], append(1, 3, b"er"), [*append(1, 3, b"er")[:1], fx.Sync(1)]
    assert named(states(*closed, image=OLD, lagging=0)) == {(): {"s": b"older"}}
    assert named(states(*synced, image=OLD, lagging=0)) == {(): {"s": b"older"}}
    assert named(states(*synced, image=OLD, lagging=0, model=under(fsync="no-op"))) == {(): {"s": b"old"}}
    assert named(states(*written, image=OLD, lagging=0, model=under(ack_loss="never"))) == {(): {"s": b"older"}}


def test_a_file_that_did_not_change_is_not_sent():
    """A close after a sync, or of a file that was only read, is no PUT."""
    assert len(states(fx.Close(1), fx.Sync(1), image=OLD)) == 1


def test_a_rename_is_a_copy_and_a_delete():
    """A crash in between leaves both names, and says that the delete is missing."""
    effects = [fx.Rename(0, "s", 0, "new", 1, None)]
    cuts = states(*effects, image=OLD, lagging=0)
    assert [(cut.first, cut.last, cut.lag, sorted(cut.image().data())) for cut in cuts] == [
        (0, 0, (), ["s"]),
        (1, 1, ("sent<-1",), ["new", "s"]),
        (1, 1, (), ["new"]),
    ]
    assert "no atomic rename" in cuts[1].losses()[0].why
    assert cuts[2].losses() == []


def test_half_a_directory_may_have_moved():
    """A directory goes file by file."""
    image = Image((File("d/x", b"x", 1), File("d/y", b"y", 2)), ("d",))
    effects = [fx.Rename(0, "d", 0, "e", 1, None, directory=True)]
    found = [sorted(cut.image().data()) for cut in states(*effects, image=image, lagging=0)]
    assert ["d/y", "e/x"] in found
    assert found[-1] == ["e/x", "e/y"]


def test_hard_links_become_two_files():
    """A change is sent under both names, one after the other."""
    effects = [fx.Link(0, "l", 1), fx.Write(1, 3, b"er"), fx.Close(1)]
    found = [cut.image().data() for cut in states(*effects, image=OLD, lagging=0)]
    assert found[-2:] == [{"s": b"old", "l": b"older"}, {"s": b"older", "l": b"older"}]


def test_links_and_directories_are_objects_of_their_own():
    """They come and go in order, and never misbehave."""
    effects = [fx.Mkdir(0, "d", 1), fx.Symlink(1, "l", 2, "../s"), fx.Mkdir(0, "e", 3), fx.Rmdir(0, "e", 3)]
    cuts = states(*effects)
    assert len(cuts) == 5
    assert cuts[-1].image() == Image((), ("d",), (("d/l", "../s"),))


def test_a_process_that_ended_has_closed_its_files():
    """What the system closed when the last life of the store ended was sent before the next life opens."""
    written = append(1, 3, b"er")[:1]
    assert named(states(*written, "open", image=OLD, lagging=0)) == {(): {"s": b"older"}}


def test_what_was_deleted_before_it_was_sent_is_no_loss():
    """A temporary file that never left the client is missed by nobody, except by a crash before it was deleted."""
    cuts = states(fx.Create(0, "t", 5), fx.Write(5, 0, b"x"), fx.Unlink(0, "t", 5), fx.Close(5))
    assert len(cuts) == 1
    assert cuts[0].losses() == []
    assert [loss.what for loss in cuts[0].losses(2)] == ["create t", "write t 1 B"]


def test_acknowledged_sends_may_wait_for_an_fsync():
    """Then a crash takes a tail of what was sent, up to the last sync."""
    effects = [*append(1, 3, b"er"), *append(1, 5, b"!"), fx.Sync(1)]
    cuts = states(*effects, image=OLD, lagging=0, model=under(ack_loss="until_fsync"))
    assert [(cut.first, cut.last, cut.image().data()["s"]) for cut in cuts] == [
        (0, 4, b"old"),
        (2, 4, b"older"),
        (4, 5, b"older!"),
    ]
    assert "no fsync waited for it" in cuts[0].losses(4)[0].why


# -- by hand: what goes wrong


def test_a_lost_put_leaves_the_version_before_it():
    """The save was acknowledged and later ones are stored: the state lasts until the next PUT of that file."""
    effects = [*save(2, b"new", old=1), fx.Create(0, "other", 3), fx.Close(3)]
    cuts = states(*effects, image=OLD)
    lost = [cut for cut in cuts if cut.lag == ("lost-put(s)#1",)]
    assert [(cut.first, cut.last) for cut in lost] == [(5, 6), (7, 7)]
    assert lost[-1].image().data() == {"s": b"old", "other": b""}
    [loss] = lost[-1].losses()
    assert (loss.seq, loss.what, loss.site) == (5, "PUT s 3 B", "store.py:5")
    assert loss.why == "a mount that PUTs whole files may lose one PUT that it acknowledged"


def test_a_late_put_rolls_back():
    """An older version is stored again after newer ones; what it undid is told."""
    effects = [*append(1, 3, b"1"), *append(1, 4, b"2"), *append(1, 5, b"3")]
    found = {cut.lag: cut for cut in states(*effects, image=OLD) if cut.last == 6}
    assert {lag: cut.image().data()["s"] for lag, cut in found.items()} == {
        (): b"old123",
        ("lost-put(s)#3",): b"old12",
        ("late-put(s)#1",): b"old1",
    }
    losses = found["late-put(s)#1",].losses()
    assert [loss.seq for loss in losses] == [4, 6]
    assert all("may store an earlier PUT (of op 2) once more, after a later one" in loss.why for loss in losses)


def test_a_deleted_file_may_come_back_for_a_while():
    """A late PUT brings it back, as long as not too much was sent since; a delete itself is never lost for long."""
    effects = [
        *append(1, 3, b"1"),
        fx.Unlink(0, "s", 1),
        *(one for ino in range(5, 12) for one in (fx.Create(0, f"f{ino}", ino), fx.Close(ino))),
    ]
    cuts = [cut for cut in states(*effects, image=OLD) if cut.lag == ("late-put(s)#1",)]
    assert [cut.image().data()["s"] for cut in cuts] == [b"old1"] * 5
    assert cuts[0].first == 3


def test_nothing_comes_back_into_a_directory_that_is_gone():
    """Nor over a directory that has the name now."""
    image = Image((File("d/x", b"x", 2),), ("d",))
    effects = [*append(2, 1, b"y"), fx.Unlink(1, "x", 2), fx.Rmdir(0, "d", 1)]
    last = [cut for cut in states(*effects, image=image) if cut.first == 4]
    assert [cut.lag for cut in last] == [()]


def test_equal_versions_are_one_look():
    """A PUT of the same bytes can be lost without a trace."""
    effects = [fx.Truncate(1, 0), fx.Write(1, 0, b"old"), fx.Close(1)]
    assert {cut.lag for cut in states(*effects, image=OLD)} == {()}


def test_two_faults_if_the_mount_may_have_two():
    """On two files, or the first two PUTs of a file that was not there."""
    effects = [fx.Create(0, "a", 1), fx.Close(1), *append(1, 0, b"1"), fx.Create(0, "b", 2), fx.Close(2)]
    found = named(states(*effects, model=under(faults=2)))
    assert found["lost-put(b)#1", "lost-put(a)#2"] == {"a": b""}
    assert found["lost-put(a)#2", "lost-put(a)#1"] == {"b": b""}
    assert all(len(lag) < 2 for lag in named(states(*effects)))


def test_bounds_and_limit_are_told():
    """Both leave out the older versions and say so; the model's own budget is no bound of the walk."""
    effects = [one for at in range(6) for one in append(1, 3 + at, b"%d" % at)]
    log_ = build(OLD, log(*effects), NETPUT)
    free, bounded, limited = walk(log_, versions=None), walk(log_, versions=1), walk(log_, limit=10)
    assert len(list(free)) > len(list(bounded)) > len(list(limited)) == 10
    assert (free.cut_short, bounded.bounded, bounded.limited, limited.limited) == (False, True, False, True)
    assert bounds(NETPUT, 2, 4) == (1, 4)
    assert bounds(STRICT, 2, 4) == (2, 4)


def test_states_with_nothing_wrong_come_first():
    """A limit takes away the rarest states: files that come back from the dead are last."""
    cuts = states(*append(1, 3, b"er"), *save(2, b"new", old=1), image=OLD)
    revived = [bool(cut.rolled) and cut.objects.at(cut.rolled[0].path, cut.moment).kind == "absent" for cut in cuts]
    kinds = [(len(cut.picks), back) for cut, back in zip(cuts, revived, strict=True)]
    assert kinds == sorted(kinds)
    assert len(set(kinds)) == 3


@pytest.mark.parametrize("number", [30, 60])
def test_states_grow_with_the_log_and_not_faster(number):
    """With a new name for each temporary file the states of each op stay as many as they were."""
    effects = [one for at in range(number) for one in _saved(at + 2, f"t{at}")]
    cuts = states(*effects, image=OLD)
    assert 3 * number < len(cuts) < 24 * number


def _saved(ino, name):
    return [fx.Create(0, name, ino), fx.Write(ino, 0, b"%d" % ino), fx.Close(ino), fx.Rename(0, name, 0, "s", ino, ino - 1)]


@pytest.mark.parametrize(
    ("born", "lag", "why"),
    [
        (1, (), "op 1 sent nothing"),
        (2, ("lost-put(s)#2",), "no PUT of s can have gone wrong"),
        (2, ("late-put(x)#1",), "no PUT of x"),
        (2, ("sent<-1",), "did not send so many"),
        (2, ("sent<-9",), "did not send so many"),
        (2, ("size(s)<-1",), "neither a PUT nor a number of objects"),
        (4, ("lost-put(s)#2", "lost-put(s)#1"), "at most 1 PUTs misbehave"),
    ],
)
def test_a_state_that_is_none_is_told(born, lag, why):
    """A replay on another log does not stage something else."""
    objects = build(OLD, log(*append(1, 3, b"1"), *append(1, 4, b"2")), NETPUT)
    with pytest.raises(UsageError, match=why):
        find(objects, born, lag)


def test_a_log_that_does_not_fit_is_refused():
    """Ops out of order, or on files that nothing made."""
    ops = log(*append(1, 3, b"er"))
    with pytest.raises(RecorderError, match="op 1 comes after op 2"):
        build(OLD, [ops[1], ops[0]], NETPUT)
    with pytest.raises(RecorderError, match="changes something that nothing made"):
        build(EMPTY, log(fx.Rename(7, "a", 7, "b", 9, None)), NETPUT)


# -- which messages that excuses

LIVE = [fx.Create(0, "live", 1), fx.Close(1)]


def taken(lag, *effects, published=frozenset(), times=None):
    """The messages that the last state with this lag has no copy of."""
    cuts = [cut for cut in states(*LIVE, *effects) if cut.lag == lag]
    return cuts[-1].taken(frozenset(published), Counter(times or {}))


def test_the_only_copy_was_lost():
    """What stood in the lost PUT alone is excused, what the version before it held is not."""
    effects = [*append(1, 0, b"zu1z "), *append(1, 5, b"zu2z ")]
    assert taken(("lost-put(live)#3",), *effects) == {"u2"}
    assert taken(("late-put(live)#1",), *effects) == {"u1", "u2"}
    assert taken((), *effects) == set()


def test_another_copy_is_no_excuse():
    """Unless it stands in a file that a healthy session does not have."""
    effects = [fx.Create(0, "copy", 2), *append(2, 0, b"zu1z"), *append(1, 0, b"zu1z ")]
    assert taken(("lost-put(live)#2",), *effects) == set()
    assert taken(("lost-put(live)#2",), *effects, published={"live"}) == {"u1"}


def test_what_the_store_itself_removed_is_no_excuse():
    """A message that the newest version does not hold was not taken by the mount."""
    effects = [*append(1, 0, b"zu1z"), fx.Truncate(1, 0), *append(1, 0, b"zu2z")]
    assert taken(("late-put(live)#1",), *effects) == {"u2"}


def test_of_a_text_said_twice_one_copy_is_not_two():
    """One of its copies may stand for each of the messages."""
    effects = [*append(1, 0, b"zu1z "), *append(1, 5, b"zu1z ")]
    assert taken(("lost-put(live)#3",), *effects) == set()
    assert taken(("lost-put(live)#3",), *effects, times={"u1": 2}) == {"u1"}


def test_what_cannot_be_read_is_excused():
    """A store that packs its texts shows no marks, so nobody can tell what a lost PUT took."""
    effects = ["append u1", *append(1, 0, b"packed")]
    assert taken(("lost-put(live)#2",), *effects) == {"u1"}
    assert taken((), *effects) == set()
    assert taken(("lost-put(live)#2",), *effects, *append(1, 6, b"zu1z")[:1]) == set()
