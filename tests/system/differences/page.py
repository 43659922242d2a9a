"""docs/differences.md, from the list and from what was found."""

import re

HEAD = """# gatepost beside the Python milter

`tests/run differences` plays {count} sessions, {generated} from a grammar and the others written by hand, to gatepost and to a program
that does what `spamhaus-dqs-milter` is documented to do, its defects included (`tests/system/differences/python_milter.py`, on the real
pymilter and dnspython). Both are asked in the milter protocol, and ask one scripted name server. Step by step their verdicts are
compared, the code and text of replies, what they add to a message, the names they ask about and how often, and whether they
answer in time. gatepost runs with `REPLY_STYLE=python` where a row does not say otherwise.

{differing} sessions differ somewhere. Here is why, all of it. What both say and ask where they differ is in
`tests/system/differences/found.txt`, word by word. The run fails when either says or asks anything else there, when a difference is on no row,
when a row has lost its differences, or a single session has, and when this page would be another one (`write=1 tests/run differences` writes both
anew). How to move: [migration.md](migration.md). In this table settings stand without `SPAMHAUS_DQS_`.
"""
FOOT = """
## Not compared

- How long an answer is kept: it would take minutes. gatepost goes by DNS, 30 s at least; the Python milter keeps listings 600 s and
  everything else 300 s. `CACHE_HONOR_TTL=0` brings that back.
- How often a question is put that gets no answer: that is a matter of time.
- The log: the Python milter's holds the key where an error of DNS is told.
- Reloads: the Python milter has none.
"""


def clean(text):
    return text.replace("|", "\\|")


def shorter(text):
    return text if len(text) <= 90 else text[:60] + "…" + text[-25:]


def example(found):
    """The shortest of the strictest: verdicts tell more than questions."""
    order = ("closed → in", "does not start", "in → refused", "in → discarded", "in → deferred", "refused → in", "refused → deferred", "deferred → in",
             "deferred → refused", "a later stage", "words", "marks", "sooner")
    best = min(
        found, key=lambda one: (order.index(one.kind) if one.kind in order else len(order), len(one.python + one.gatepost))
    )
    # The words of replies stand where they are what differs.
    cut = " → " in best.kind or best.kind == "a later stage"
    left, right = (shorter(brief(text) if cut else text) for text in (best.python, best.gatepost))
    title = best.session.split(": ", 1)[1] if best.session[:3].isdigit() else best.session
    return f"{shorter(title)}, {best.stage}: {left} / {right}"


def brief(answer):
    """A reply without its words: code, enhanced code, and the stage if it is told."""
    found = re.fullmatch(r"(\d{3} \d\.\d\.\d) .*?( at [A-Z]+(, number \d+)?)?", answer)
    return found[1] + (found[2] or "") if found else answer


def page(explained, reasons, count, generated):
    differing = len({one.session for found in explained.values() for one in found})
    lines = [HEAD.format(count=count, generated=generated, differing=differing)]
    for group in dict.fromkeys(reason.group for reason in reasons):
        lines.append(
            f"\n## {group}\n\n| | Python milter | gatepost | reason | sessions | example: Python / gatepost |\n|---|---|---|---|---|---|"
        )
        for reason in (reason for reason in reasons if reason.group == group):
            found = explained[reason.name]
            sessions = len({one.session for one in found})
            cells = [
                reason.name,
                reason.python,
                reason.gatepost,
                reason.why,
                str(sessions),
                clean(example(found)) if found else "none",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + FOOT
