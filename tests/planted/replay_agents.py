"""Broken variants of the reference agent: what it makes of calls that wait for approval.

Rule: a variant changes as little as it can, and everything else of it is the reference code.
"""

from __future__ import annotations

from dataclasses import replace

from reference_impl.replay import STARAgent


class RunsUnasked(STARAgent):
    """A call that waits is run as soon as the process is a fresh one."""

    def resume_from_session_id(self, session_id):
        found = super().resume_from_session_id(session_id)
        for call in self.pending:
            self._run(call)
        return found


class NoGate(STARAgent):
    """Approval is asked for the first call of a session only; afterwards it is taken for granted."""

    def _record_call(self, call):
        tool = self._tools.get(call["name"])
        seen = sum(one["name"] == call["name"] for entry in self.timeline.entries for one in entry.tool_calls)
        if tool is not None and tool.gated and seen:
            self._tools = {**self._tools, tool.name: replace(tool, gated=False)}
        super()._record_call(call)


class ApprovalAfterTheTool(STARAgent):
    """That a call was approved is written down when its result is: a crash in the tool leaves an approval to be given again."""

    def _run(self, call):
        if not self._tools[call["name"]].gated:
            return super()._run(call)
        entries = list(self.timeline.entries)
        for at, entry in enumerate(entries):
            if call["id"] in [one["id"] for one in entry.tool_calls]:
                self.timeline.entries[at] = replace(entry, metadata={**entry.metadata, "awaiting_approval": True})
        self._save()
        result = super()._run(call)
        self.timeline.entries[:] = entries
        return result


class ForgetsApprovals(STARAgent):
    """A fresh process takes each call without a result for one in which the old process died."""

    def resume_from_session_id(self, session_id):
        found = super().resume_from_session_id(session_id)
        for call in self.pending:
            self._settle(call["id"])
        return found


class LeavesItOpen(STARAgent):
    """The user goes on, and the call still waits."""

    def _pass_over(self):
        pass


class HoldsTheOthers(STARAgent):
    """A call that needs no approval is not run behind one that does: it is left without a result."""

    def _record_think_results(self, parsed):
        gated = [at for at, call in enumerate(parsed.tool_calls) if getattr(self._tools.get(call["name"]), "gated", False)]
        self._held = parsed.tool_calls[gated[0] + 1 :] if gated else ()
        super()._record_think_results(parsed)

    def _run(self, call):
        return "[held]" if call in self._held and not self._tools[call["name"]].gated else super()._run(call)
