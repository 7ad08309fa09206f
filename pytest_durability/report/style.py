"""How the HTML report looks, apart from what it says.

Rule: colours add to signs and never replace them; nothing is loaded, so there are no fonts and no pictures.
"""

from __future__ import annotations

CSS = """:root { color-scheme: light dark; --line: #8886; --bad: #c0392b; --mark: #ffd54f55; --crash: #c0392b22; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
header { border: 1px solid var(--line); border-left: .4rem solid var(--line); padding: .3rem 1rem; }
header.invalid { border-left-color: var(--bad); }
h1 { font-size: 1.4rem; margin: .4rem 0; } h1 small { font-size: .8rem; }
h2 { font-size: 1.05rem; margin: 1.2rem 0 .3rem; }
code, pre, td, th, li { font-family: ui-monospace, monospace; font-size: .85rem; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
td, th { border-top: 1px solid var(--line); padding: .15rem .6rem; text-align: left; vertical-align: top; }
tr:target, tr.witness { background: var(--mark); }
tr.crash td { background: var(--crash); border-top: .2rem solid var(--bad); font-weight: bold; }
del { color: var(--bad); }
mark { background: var(--mark); color: inherit; }
.key { font-size: .8rem; opacity: .75; }
.states { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); }
details { border-top: 1px solid var(--line); padding: .4rem 0; }
@media print { body { max-width: none; } details > pre { display: block; } }
"""
"""The style sheet of a page."""
