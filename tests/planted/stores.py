"""One sound store and a row of broken ones, each with a single planted bug of the kind that is found in real projects.

Rule: a variant differs from the sound store in one place, says which anomaly it must cause, and is otherwise honest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pytest_durability import Message, Promise


def sync_directory(folder):
    """Make the names in a directory durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path, data):
    """Atomic and durable: temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


class Sound:
    """JSON Lines with archives: append + fsync, a commit that archives before it clears, a heal that is sound.

    Methods that variants override are the places where stores go wrong.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.live = folder / "live.jsonl"
        self.archive = folder / "archive.jsonl"
        if not self.live.exists():
            folder.mkdir(exist_ok=True)
            sync_directory(folder.parent)
            self.create()
        self.messages = self.load()
        self.published = False

    def create(self):
        with open(self.live, "ab") as file:
            os.fsync(file.fileno())

    def publish(self):
        """An earlier life may have died, or failed, between a name and its sync; nothing is acknowledged before that is made up."""
        if not self.published:
            sync_directory(self.folder)
            self.published = True

    def read(self, path):
        return path.read_bytes() if path.exists() else b""

    def load(self):
        messages, good = self.parse(self.read(self.live))
        data = self.read(self.live)
        archived = {m["id"] for m in self.archived()}
        kept = [m for m in messages if m["id"] not in archived]
        if good < len(data) or len(kept) < len(messages):
            sync_directory(self.folder)  # of the archive, whose name may be younger than its last sync
            replace(self.live, b"".join(self.line(m) for m in kept))
        return kept

    def parse(self, data):
        """Messages, and how many bytes they take; a torn tail was never acknowledged and ends the reading."""
        messages, good = [], 0
        for line in data.split(b"\n")[:-1]:
            try:
                messages += self.unpacked(json.loads(line))
            except ValueError:
                break
            good += len(line) + 1
        return messages, good

    def unpacked(self, record):
        """The messages of a line: one, or a batch, which is one line so that it cannot be there in part."""
        return record if isinstance(record, list) else [record]

    def line(self, record):
        return json.dumps(record).encode() + b"\n"

    def next_id(self):
        """One that is on disk nowhere, not even with a message whose append failed."""
        return 1 + max((m["id"] for m in [*self.archived(), *self.messages, *self.parse(self.read(self.live))[0]]), default=0)

    def append(self, role, text):
        self.append_many([(role, text)])

    def append_many(self, pairs):
        first = self.next_id()
        messages = [{"id": number, "role": role, "text": text} for number, (role, text) in enumerate(pairs, first)]
        self.write(self.line(messages if len(messages) > 1 else messages[0]))
        self.publish()
        self.messages += messages

    def write(self, data):
        before = self.read(self.live)
        if before and not before.endswith(b"\n"):  # an append failed in the middle
            self.load()
        self.put(data)

    def put(self, data):
        with open(self.live, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def archived(self):
        return self.parse(self.read(self.archive))[0]

    def commit(self, keep):
        cut = max(0, len(self.messages) - keep)
        old, kept = self.messages[:cut], self.messages[cut:]
        self.published = False
        self.put_archive(old)
        self.clear(kept)
        self.messages = kept

    def put_archive(self, old):
        before = self.archived()
        known = {m["id"] for m in before}  # of a commit that failed after this
        replace(self.archive, b"".join(self.line(m) for m in [*before, *(m for m in old if m["id"] not in known)]))

    def clear(self, kept):
        replace(self.live, b"".join(self.line(m) for m in kept))


class NoSync(Sound):
    """Appends without fsync."""

    def write(self, data):
        with open(self.live, "ab") as file:
            file.write(data)


class NoDirectorySync(Sound):
    """Creates the session without an fsync of its directory."""

    def publish(self):
        pass


class Brick(Sound):
    """Refuses a session whose directory exists without its file: killed between the two, it can never be used again."""

    def __init__(self, folder):
        if folder.exists() and not (folder / "live.jsonl").exists():
            raise RuntimeError("session exists already")
        super().__init__(folder)


class InPlace(Sound):
    """Rewrites the file in place on every append."""

    def write(self, data):
        with open(self.live, "rb") as file:
            before = file.read()
        with open(self.live, "wb") as file:
            file.write(before + data)
            file.flush()
            os.fsync(file.fileno())


class TwoWrites(Sound):
    """Writes a line in two pieces; sound as long as the reader copes with a torn tail."""

    def write(self, data):
        with open(self.live, "ab", buffering=0) as file:
            file.write(data[: len(data) // 2])
            file.write(data[len(data) // 2 :])
            os.fsync(file.fileno())


class SilentEmpty(TwoWrites):
    """Takes a session that it cannot read for a new one."""

    def parse(self, data):
        try:
            lines = data.split(b"\n")
            return [message for line in lines if line for message in self.unpacked(json.loads(line))], len(data)
        except ValueError:
            return [], len(data)


class DropsNeighbour(TwoWrites):
    """Drops the line before a torn tail together with it."""

    def parse(self, data):
        messages, good = super().parse(data)
        if good < len(data) and len(messages) > 1:
            return messages[:-1], good - len(self.line(messages[-1]))
        return messages, good


class TornAsText(TwoWrites):
    """Shows a torn line as if it were a message."""

    def parse(self, data):
        messages, good = super().parse(data)
        rest = data[good:]
        if rest:
            messages.append({"id": 1000 + len(messages), "role": "user", "text": rest.decode("utf-8", "replace")[:30]})
            good = len(data)
        return messages, good


class HealGrows(TwoWrites):
    """Notes on each open that a torn tail was seen, instead of removing it."""

    def load(self):
        messages, good = self.parse(self.read(self.live))
        if good < len(self.read(self.live)):
            with open(self.folder / "heal.log", "ab") as file:
                file.write(b"torn tail\n")
        archived = {m["id"] for m in self.archived()}
        return [m for m in messages if m["id"] not in archived]


class RewritesHealthy(Sound):
    """Counts its opens in the session file, so a healthy session changes whenever it is read."""

    def load(self):
        messages = super().load()
        count = int(self.read(self.folder / "opens") or b"0") + 1
        replace(self.folder / "opens", b"%d" % count)
        return messages


class JournalTwice(Sound):
    """Replays a journal into the log and removes the journal afterwards: killed in between, it replays it again."""

    def __init__(self, folder):
        self.journal = folder / "journal"
        super().__init__(folder)

    def write(self, data):
        replace(self.journal, data)
        self.flush_journal()

    def load(self):
        if self.journal.exists():
            self.flush_journal()
        return super().load()

    def flush_journal(self):
        self.put(self.journal.read_bytes())
        self.journal.unlink()


class LosesOrder(Sound):
    """Keeps the order in a second file, written in place, and sorts by text when that cannot be read."""

    def load(self):
        messages = super().load()
        order = self.folder / "order"
        try:
            ranks = json.loads(order.read_text())
            return sorted(messages, key=lambda m: ranks.index(m["id"]))
        except (OSError, ValueError):
            return sorted(messages, key=lambda m: m["text"][::-1])

    def append_many(self, pairs):
        super().append_many(pairs)
        with open(self.folder / "order", "w") as file:
            file.write(json.dumps([m["id"] for m in self.messages]))


class SplitsBatch(Sound):
    """Stores the messages of a batch one by one."""

    def append_many(self, pairs):
        for pair in pairs:
            super().append_many([pair])


class ClearsFirst(Sound):
    """Clears the live file before the archive is written."""

    def commit(self, keep):
        cut = max(0, len(self.messages) - keep)
        old, kept = self.messages[:cut], self.messages[cut:]
        self.clear(kept)
        self.put_archive(old)
        self.messages = kept


class TrustsLive(Sound):
    """Clears without a sync of the directory and believes the live file afterwards: a lost clear brings messages back."""

    def clear(self, kept):
        temporary = self.live.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            file.write(b"".join(self.line(m) for m in kept))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.live)

    def load(self):
        return self.parse(self.read(self.live))[0]


class GluesTail(TwoWrites):
    """Reads past a torn tail and leaves it there, so that the next line is glued to it."""

    def load(self):
        archived = {m["id"] for m in self.archived()}
        return [m for m in self.parse(self.read(self.live))[0] if m["id"] not in archived]


class WedgedByError(Sound):
    """Takes nothing more after a write has failed once, until the process ends."""

    broken = False

    def write(self, data):
        if self.broken:
            raise RuntimeError("an earlier write failed")
        try:
            super().write(data)
        except OSError:
            self.broken = True
            raise


class WedgedByTail(GluesTail):
    """Loads past a torn tail, and refuses to write behind it."""

    def write(self, data):
        before = self.read(self.live)
        if before and not before.endswith(b"\n"):
            raise ValueError("the session is damaged")
        super().write(data)


class Rereads(Sound):
    """Looks at the files before each change, so that several store objects may be open."""

    def append_many(self, pairs):
        self.messages = self.load()
        super().append_many(pairs)

    def commit(self, keep):
        self.messages = self.load()
        super().commit(keep)


class SharesArchive(Sound):
    """Keeps the archives of all sessions in one file, although each session counts its messages from 1."""

    def __init__(self, folder):
        self.shared = folder.parent / "archive.jsonl"
        super().__init__(folder)

    def archived(self):
        return self.parse(self.read(self.shared))[0]

    def put_archive(self, old):
        replace(self.shared, b"".join(self.line(m) for m in [*self.archived(), *old]))


class RefusesText(Sound):
    """Writes text as it is, and refuses what has no encoding before it has touched anything."""

    def line(self, record):
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"


class Clips(RefusesText):
    """The same, but empties the file before it knows whether the text can be written."""

    def write(self, data):
        raise AssertionError("not used")

    def append_many(self, pairs):
        first = self.next_id()
        messages = [{"id": number, "role": role, "text": text} for number, (role, text) in enumerate(pairs, first)]
        before = self.read(self.live)
        with open(self.live, "wb") as file:
            data = self.line(messages if len(messages) > 1 else messages[0])
            file.write(before + data)
            file.flush()
            os.fsync(file.fileno())
        self.publish()
        self.messages += messages


def adapter(store, *, acknowledged="power-loss", archives=True, opened=1):
    """An adapter class for one of these stores; they keep what they read, so a process opens them once."""

    class Adapter:
        promise = Promise(acknowledged=acknowledged)
        handles = opened

        def open(self, world):
            return store(world.root / world.session)

        def append(self, session, message):
            session.append(message.role, message.text)

        def append_many(self, session, messages):
            session.append_many([(message.role, message.text) for message in messages])

        def transcript(self, session):
            return [Message(m["role"], m["text"]) for m in session.messages]

        def commit(self, session, keep):
            session.commit(keep)

    if archives:
        Adapter.archived = lambda self, session: [Message(m["role"], m["text"]) for m in session.archived()]
    Adapter.__name__ = Adapter.__qualname__ = store.__name__
    return Adapter


def with_sessions(store):
    """An adapter whose sessions live in one root."""
    return type("Adapter", (adapter(store),), {"sessions": True})


JOURNAL_TWICE = adapter(JournalTwice)
"""An adapter that a worker process can find by its name."""
JOURNAL_TWICE.__qualname__ = "JOURNAL_TWICE"
JOURNAL_TWICE.__module__ = __name__
