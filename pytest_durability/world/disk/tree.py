"""The recorder must know which file a name means right now, so it keeps a mirror of the root, fed by effects only.

Rule: the mirror never looks at the disk. What it shows is what the log explains, which is why `verify` can compare it
with the real directory. Inode 0 is the root; `image.number` gives the inodes of an initial image.
"""

from __future__ import annotations

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.image import File, Image, number


class Tree:
    """A live file system image: names, contents, directories and links, by inode.

    Loading the initial image and applying data are put off until somebody asks, because thousands of recorders are
    started a second and most of them only read.
    """

    __slots__ = ("_contents", "_count", "_dirs", "_image", "_links", "_loaded", "_names", "_paths", "_unapplied", "symlinks")

    def __init__(self, image: Image) -> None:
        self._image: Image | None = image
        self._loaded = False
        self._dirs: dict[int, dict[str, int]] = {}
        self._links: dict[int, str] = {}
        self._contents: dict[int, bytes | bytearray] = {}
        self._names: dict[int, list[tuple[int, str]]] = {}
        self._paths: dict[int, str] = {}
        self._unapplied: list[fx.Write | fx.Truncate] = []
        self._count = 0
        self.symlinks = bool(image.links)

    @classmethod
    def from_image(cls, image: Image) -> Tree:
        """A tree that holds `image`; costs nothing until it is first asked or changed."""
        return cls(image)

    def _load(self) -> None:
        self._loaded = True
        image = self._image
        assert image is not None
        numbers = number(image)
        dirs = self._dirs
        dirs[fx.ROOT] = {}
        for path in image.dirs:
            dirs[numbers[path]] = {}
        for path, target in image.links:
            self._links[numbers[path]] = target
        for file in image.files:
            self._contents[numbers[file.path]] = file.data
        for path, ino in numbers.items():
            parent, _, name = path.rpartition("/")
            holder = numbers[parent] if parent else fx.ROOT
            dirs[holder][name] = ino
            self._names.setdefault(ino, []).append((holder, name))
        self._count = max(numbers.values(), default=fx.ROOT)

    def fresh(self) -> int:
        """The next unused inode number."""
        if not self._loaded:
            self._load()
        self._count += 1
        return self._count

    def lookup(self, path: str) -> int | None:
        """The inode that a relative path names, without following a link; `""` and `"."` are the root."""
        if not self._loaded:
            self._load()
        ino: int | None = fx.ROOT
        if path in ("", "."):
            return ino
        for name in path.split("/"):
            entries = self._dirs.get(ino) if ino is not None else None
            if entries is None:
                return None
            ino = entries.get(name)
        return ino

    def path_of(self, ino: int) -> str:
        """Some current path of `ino`, or the last one it had; `""` for the root.

        Raises:
            KeyError: the tree never held this inode.
        """
        found = self._paths.get(ino)
        if found is None:
            if not self._loaded:
                self._load()
            if ino == fx.ROOT:
                return ""
            parent, name = self._names[ino][0]
            above = self.path_of(parent)
            found = self._paths[ino] = f"{above}/{name}" if above else name
        return found

    def paths(self, ino: int) -> tuple[str, ...]:
        """All current paths of a file or directory, sorted; none if it has lost its name."""
        if not self.linked(ino):
            return ()
        above = ((self.path_of(parent), name) for parent, name in self._names[ino])
        return tuple(sorted(f"{folder}/{name}" if folder else name for folder, name in above))

    def data(self, ino: int) -> bytes:
        """What file `ino` holds now."""
        if not self._loaded:
            self._load()
        self._settle()
        return bytes(self._contents[ino])

    def target(self, ino: int) -> str:
        """Where symbolic link `ino` points to."""
        return self._links[ino]

    def is_dir(self, ino: int) -> bool:
        """Whether `ino` is a directory that exists."""
        if not self._loaded:
            self._load()
        return ino in self._dirs

    def is_link(self, ino: int) -> bool:
        """Whether `ino` is a symbolic link that exists."""
        return ino in self._links

    def entries(self, ino: int) -> dict[str, int]:
        """Name -> inode of one directory (empty if it is none); a copy."""
        if not self._loaded:
            self._load()
        return dict(self._dirs.get(ino, {}))

    def linked(self, ino: int) -> bool:
        """Whether `ino` has a name at this moment."""
        if not self._loaded:
            self._load()
        if ino == fx.ROOT:
            return True
        names = self._names.get(ino)
        if not names:
            return False
        parent, name = names[0]
        return self._dirs.get(parent, {}).get(name) == ino

    def apply(self, effect: fx.Effect) -> None:
        """Take one effect over. Sync and Close change nothing that a program can read."""
        kind = type(effect)
        if kind in _QUIET:
            return
        if not self._loaded:
            self._load()
        self._image = None
        if kind is fx.Write or kind is fx.Truncate:
            self._unapplied.append(effect)  # type: ignore[arg-type]
        else:
            getattr(self, _NAMESPACE[kind])(effect)

    def _create(self, effect: fx.Create) -> None:
        self._contents[effect.ino] = b""
        self._put(effect.parent, effect.name, effect.ino)

    def _mkdir(self, effect: fx.Mkdir) -> None:
        self._dirs[effect.ino] = {}
        self._put(effect.parent, effect.name, effect.ino)

    def _symlink(self, effect: fx.Symlink) -> None:
        self._links[effect.ino] = effect.target
        self.symlinks = True
        self._put(effect.parent, effect.name, effect.ino)

    def _link(self, effect: fx.Link) -> None:
        self._put(effect.parent, effect.name, effect.ino)

    def _unlink(self, effect: fx.Unlink) -> None:
        self._drop(effect.parent, effect.name, effect.ino)

    def _rmdir(self, effect: fx.Rmdir) -> None:
        self._drop(effect.parent, effect.name, effect.ino)
        self._dirs.pop(effect.ino, None)

    def _rename(self, effect: fx.Rename) -> None:
        if effect.replaced is not None:
            self._drop(effect.new_parent, effect.new_name, effect.replaced)
            self._dirs.pop(effect.replaced, None)
        del self._dirs[effect.parent][effect.name]
        names = self._names[effect.ino]
        names[names.index((effect.parent, effect.name))] = (effect.new_parent, effect.new_name)
        self._dirs[effect.new_parent][effect.new_name] = effect.ino
        if effect.directory:
            self._paths.clear()
        else:
            self._paths.pop(effect.ino, None)

    def _put(self, parent: int, name: str, ino: int) -> None:
        names = self._names.get(ino)
        if names is None:
            self._names[ino] = [(parent, name)]
        elif self.linked(ino):
            names.append((parent, name))
        else:
            self._names[ino] = [(parent, name)]
            self._paths.pop(ino, None)
        self._dirs[parent][name] = ino
        self._count = max(self._count, ino)

    def _drop(self, parent: int, name: str, ino: int) -> None:
        del self._dirs[parent][name]
        names = self._names[ino]
        if len(names) > 1:  # the last name stays, so that an op on an unlinked open file can still be told by name
            names.remove((parent, name))
            self._paths.pop(ino, None)

    def _settle(self) -> None:
        contents = self._contents
        for effect in self._unapplied:
            data = contents.get(effect.ino, b"")
            if type(data) is bytes:
                data = contents[effect.ino] = bytearray(data)
            assert isinstance(data, bytearray)
            if isinstance(effect, fx.Truncate):
                resize(data, effect.size)
            else:
                if effect.offset > len(data):
                    resize(data, effect.offset)
                data[effect.offset : effect.offset + len(effect.data)] = effect.data
        self._unapplied.clear()

    def image(self) -> Image:
        """The present content. `File.ino` holds our inode numbers (or, if nothing was applied, those of the initial image)."""
        if self._image is not None:
            return self._image
        self._settle()
        files: list[File] = []
        dirs: list[str] = []
        links: list[tuple[str, str]] = []
        waiting = [(fx.ROOT, "")]
        while waiting:
            holder, prefix = waiting.pop()
            for name, ino in self._dirs[holder].items():
                path = prefix + name
                if ino in self._dirs:
                    dirs.append(path)
                    waiting.append((ino, path + "/"))
                elif ino in self._links:
                    links.append((path, self._links[ino]))
                else:
                    files.append(File(path, bytes(self._contents[ino]), ino))
        files.sort(key=lambda file: file.path)
        self._image = Image(tuple(files), tuple(sorted(dirs)), tuple(sorted(links)))
        return self._image


def resize(data: bytearray, size: int) -> None:
    """Cut `data` to `size` bytes or extend it with zeros."""
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


_QUIET = frozenset((fx.Sync, fx.SyncDir, fx.SyncAll, fx.Close))
_NAMESPACE = {
    fx.Create: "_create",
    fx.Mkdir: "_mkdir",
    fx.Symlink: "_symlink",
    fx.Link: "_link",
    fx.Unlink: "_unlink",
    fx.Rmdir: "_rmdir",
    fx.Rename: "_rename",
}
