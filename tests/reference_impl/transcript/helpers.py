"""What the tests of the transcript share: agents without chance or clock, scripted models, and databases that refuse."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from itertools import count

from reference_impl.durable import Durable
from reference_impl.transcript import Agent, Call, Done, Text
from reference_impl.transcript.flush import Writer
from reference_impl.transcript.schema import Database

QUICK = Durable("process-kill", patience=0)
MOMENT = "2026-01-01T00:00:00.000+00:00"
_numbers = count(1)


def ids():
    """Ids that are never given twice, by no object of a test run."""
    return f"id-{next(_numbers)}"


def opened(path, session="s", kind=Agent, **options):
    """A resumed agent; ids and times are fixed."""
    agent = kind(path, session, **{"clock": lambda: MOMENT, "ids": ids, "disk": QUICK, **options})
    agent.resume()
    return agent


@contextmanager
def writing(path, session="s", **options):
    """A writer of its own, without an agent around it."""
    database = Database(str(path / "state.db"), QUICK)
    with closing(database):
        yield Writer(database, session, clock=lambda: MOMENT, ids=ids, **options)


def flush(writer, messages, history=()):
    """The flush, under its long name."""
    return writer._flush_messages_to_session_db(messages, history)


def die(agent):
    """What the death of its process does to an agent: files and locks are gone, and what is left of it can write no more."""
    agent._held.close()
    agent.database.close()
    agent.writer.database = None

    def dead():
        raise sqlite3.OperationalError("this process is dead")

    agent.database._open = dead


# Models


def says(*pieces, text=None):
    """A model that streams these pieces and ends as it should."""

    def model(request):
        yield from map(Text, pieces)
        yield Done(text=text)

    return model


def cut_after(*pieces, error=ConnectionResetError):
    """A model whose stream dies after these pieces; without an error it just ends."""

    def model(request):
        yield from map(Text, pieces)
        if error is not None:
            raise error("the wire")

    return model


def calls(*names, before="", then=("done",)):
    """A model that calls tools, one id per name, and answers when the last message is a result."""

    def model(request):
        if request[-1]["role"] == "tool":
            yield from map(Text, then)
        else:
            yield from map(Text, [before] if before else [])
            yield from [Call(name, "look") for name in names]
        yield Done()

    return model


def shown(turn, model, tools=None, stop_after=None):
    """Drive a turn; the text that the user saw. `stop_after`: the user stops it after so many pieces."""
    seen = []
    stream = turn.run(model, tools)
    for piece in stream:
        seen.append(piece)
        if len(seen) == stop_after:
            stream.close()
            break
    return "".join(seen)


def talk(agent, text, *pieces):
    """One turn that ends well."""
    return shown(agent.begin(text), says(*pieces))


# What is on disk


def rows(path, query="SELECT role, content FROM messages WHERE active = 1 ORDER BY seq, id"):
    """Rows of the database as they are, seen by a connection that has no part in it."""
    with closing(sqlite3.connect(path / "state.db")) as connection:
        return connection.execute(query).fetchall()


def contents(path):
    """The contents of the active rows."""
    return [content for _, content in rows(path)]


def said(messages):
    """Role and content of messages."""
    return [(message["role"], message["content"]) for message in messages]


def loaded(path, session="s"):
    """What a new process finds: role and content."""
    agent = opened(path, session)
    with closing(agent):
        return said(agent.messages)


def dump(path):
    """The whole database as text."""
    with closing(sqlite3.connect(path / "state.db")) as connection:
        return list(connection.iterdump())


@contextmanager
def locked(path):
    """Somebody else writes to the database."""
    with closing(sqlite3.connect(path / "state.db", timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
