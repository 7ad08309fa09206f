"""Shows, through the real `openai` client, that reasoning is replayed across turns and across processes: PASS or FAIL, line by line.

Rule: the checks look at the requests that left, not at what the code believes it sent. Without `--base-url` or `--live` they go to a
small strict service on 127.0.0.1 that is started for them; nothing leaves the machine unless `--live` is given.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference_impl.replay import OpenAIProvider, OpenAITransport, Snapshots, STARAgent, Transport
from reference_impl.replay.loopback import Loopback
from reference_impl.replay.splice import SWITCH

QUESTIONS = ("Which primes are below 20?", "Add them up.", "Is the sum prime?", "And the sum of its digits?")
MODEL = "gpt-5-mini"
LIVE_URL = "https://api.openai.com/v1"
KEY = "VERIFY_API_KEY"
SESSION = "resumed"


@dataclass(frozen=True, slots=True)
class Check:
    """One hard check: what must hold, whether it does, and the figures."""

    name: str
    holds: bool
    seen: str

    def __str__(self) -> str:
        return f"{'PASS' if self.holds else 'FAIL'}  {self.name}: {self.seen}"


class Watched:
    """A transport that keeps what is sent through it."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.bodies: list[Mapping[str, Any]] = []

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._inner.base_url

    def send(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The response object."""
        self.bodies.append(body)
        return self._inner.send(body)

    def stream(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The events of a streamed response."""
        self.bodies.append(body)
        return self._inner.stream(body)

    @property
    def replayed(self) -> list[int]:
        """For each request, how many reasoning items its input held."""
        return [sum(item.get("type") == "reasoning" for item in body["input"]) for body in self.bodies]


@dataclass(frozen=True, slots=True)
class Service:
    """Where the checks go."""

    base_url: str
    key: str
    model: str

    @contextmanager
    def transport(self) -> Iterator[Watched]:
        """A transport over a client of the `openai` package, closed at the end of the block."""
        import openai

        http = openai.DefaultHttpxClient(trust_env="127.0.0.1" not in self.base_url)
        with openai.OpenAI(api_key=self.key, base_url=self.base_url, http_client=http) as client:
            yield Watched(OpenAITransport(client))

    def agent(self, transport: Transport, folder: str, session: str) -> STARAgent:
        """An agent whose session is kept in a folder."""
        provider = OpenAIProvider(transport, self.model)
        return STARAgent(provider, snapshots=Snapshots(folder), session_id=session)


@contextmanager
def switched(value: str) -> Iterator[None]:
    """The kill switch set to a value for the length of a block."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = value
    try:
        yield
    finally:
        del os.environ[SWITCH]
        if before is not None:
            os.environ[SWITCH] = before


def reasoning_replay(service: Service, folder: str) -> list[Check]:
    """Four turns with the switch on, and four with it off."""
    runs: dict[str, tuple[list[int], list[str], list[int]]] = {}
    for value in ("1", "0"):
        replies: list[str] = []
        sizes: list[int] = []
        with switched(value), service.transport() as watched:
            agent = service.agent(watched, folder, f"switch-{value}")
            for question in QUESTIONS:
                replies.append(agent.turn(question))
                sizes.append(agent.bytes_saved)
        runs[value] = watched.replayed, replies, sizes
    on, off = runs["1"], runs["0"]
    fired = sum(count > 0 for count in on[0])
    done = sum(bool(reply) for reply in (*on[1], *off[1]))
    _say(f"      timeline.json grew to {', '.join(map(str, on[2]))} bytes over the turns")
    return [
        Check("replay fires when on", fired == len(QUESTIONS) - 1 and on[0][0] == 0, f"{fired} times over turns 2-4"),
        Check("the switch disables it", sum(off[0]) == 0, f"{sum(off[0])} items in {len(off[0])} requests with {SWITCH}=0"),
        Check("items accumulate", all(a < b for a, b in zip(on[0], on[0][1:], strict=False)), f"{on[0]} items in the requests"),
        Check(
            "all turns complete",
            done == 2 * len(QUESTIONS),
            f"{done} of {2 * len(QUESTIONS)} have a reply, in {len(on[0]) + len(off[0])} requests",
        ),
    ]


def disk_resume(service: Service, folder: str) -> list[Check]:
    """Three turns here; the fourth in a fresh process, which prints the checks."""
    with switched("1"), service.transport() as watched:
        agent = service.agent(watched, folder, SESSION)
        for question in QUESTIONS[:-1]:
            agent.turn(question)
    command = [sys.executable, "-m", "reference_impl.verify", "resumed", "--folder", folder, "--base-url", service.base_url]
    paths = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, KEY: service.key, SWITCH: "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run([*command, "--model", service.model], env=environment, check=False)  # noqa: S603  our own interpreter
    return (
        [] if done.returncode == 0 else [Check("the fresh process succeeds", holds=False, seen=f"exit status {done.returncode}")]
    )


def resumed(service: Service, folder: str) -> list[Check]:
    """What the fresh process does: load the session and ask the next question."""
    with service.transport() as watched:
        agent = service.agent(watched, folder, SESSION)
        found = agent.resume_from_session_id(SESSION)
        loaded, due = len(agent.timeline.entries), len(QUESTIONS) - 1
        kept = sum(len(entry.metadata.get("reasoning_items") or ()) for entry in agent.timeline.entries)
        reply = agent.turn(QUESTIONS[-1])
    spliced = [count for count in watched.replayed if count]
    return [
        Check("the timeline is loaded", found and kept == due, f"{kept} items in {loaded} entries"),
        Check("its items are sent", spliced == [due], f"{sum(spliced)} items in input[] by {len(spliced)} splice"),
        Check("the call completes", bool(reply) and len(watched.bodies) == 1, f"{reply!r} in {len(watched.bodies)} request"),
    ]


SCENARIOS = {"reasoning-replay": reasoning_replay, "disk-resume": disk_resume, "resumed": resumed}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one scenario; exit status 0 if each check passed."""
    parser = argparse.ArgumentParser(prog="python -m reference_impl.verify", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS, metavar="{reasoning-replay,disk-resume}")
    parser.add_argument(
        "--base-url", help="a service that speaks the Responses API (default: one that is started for the checks)"
    )
    parser.add_argument("--live", action="store_true", help=f"ask {LIVE_URL} with the key in OPENAI_API_KEY; this costs money")
    parser.add_argument("--model", default=MODEL, help="the model to ask (default: %(default)s)")
    parser.add_argument("--folder", help="where sessions are kept (default: a temporary folder)")
    asked = parser.parse_args(argv)
    key = os.environ.get("OPENAI_API_KEY", "") if asked.live else os.environ.get(KEY, "loopback-key")
    if asked.live and not key:
        parser.error("--live needs a key in OPENAI_API_KEY")
    given = asked.base_url or (LIVE_URL if asked.live else None)
    with nullcontext() if given else Loopback() as own, _folder(asked.folder) as folder:
        service = Service(given or (own.base_url if own is not None else ""), key, asked.model)
        checks = SCENARIOS[asked.scenario](service, folder)
    for check in checks:
        _say(str(check))
    return 0 if all(check.holds for check in checks) else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # a child process prints into the same stream


@contextmanager
def _folder(given: str | None) -> Iterator[str]:
    if given is not None:
        yield given
    else:
        with tempfile.TemporaryDirectory() as made:
            yield made


if __name__ == "__main__":
    sys.exit(main())
