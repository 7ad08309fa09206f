"""What a reopen is remembered by: equal contents give equal answers, and logs in the numbers of the image that is asked about."""

from __future__ import annotations

from pytest_durability import Message
from pytest_durability.persistence import POSIX
from pytest_durability.runner import Runner
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import File, Image
from pytest_durability.world.disk.states import build, walk


class Tidies:
    """Removes a left-over file at each open."""

    def open(self, world):
        (world.root / "c").unlink(missing_ok=True)
        return world.root

    def append(self, root, message):
        (root / "a").write_text(message.text)

    def transcript(self, root):
        return [Message("user", (root / "a").read_text())] if (root / "a").exists() else []


def test_two_names_of_one_file_are_not_two_files():
    """The same bytes under the same names number their files differently, so the log of one healing does not fit the other."""
    apart = Image((File("a", b"x", 1), File("b", b"x", 2), File("c", b"y", 3)))
    linked = Image((File("a", b"x", 1), File("b", b"x", 1), File("c", b"y", 3)))
    with Arena() as arena:
        reopener = Runner(Tidies, arena).reopener
        for image in (apart, linked):
            log = build(image, reopener.look(image).healing, POSIX)
            left = {tuple(cut.image().data()) for cut in walk(log, lagging=1, versions=1, limit=10)}
            assert left == {("a", "b"), ("a", "b", "c")}
        assert reopener.opened == 2
        reopener.look(Image((File("a", b"x", 7), File("b", b"x", 8), File("c", b"y", 9))))
        assert reopener.opened == 2
