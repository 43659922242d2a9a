"""Holds a linked SELinux policy against a table of what it must and must not allow.

selinux.py SUITE POLICY TABLE

A line of the table: `allow` or `deny`, source, target, class, one permission; or `transition`, source, target,
class, the type that results. A rule that hangs on a boolean is none for `allow`, and one for `deny`.
"""

import collections
import itertools
import sys

import setools

VERBS = {"allow": "allow", "deny": "allow", "transition": "type_transition"}


def lines(table):
    for line in open(table, encoding="utf-8"):
        words = line.split("#")[0].split()
        if words and (words[0] not in VERBS or len(words) != 5):
            raise SystemExit(f"{table}: {line!r} is no line of this table")
        if words:
            yield words


class Rules:
    """Every rule of the wanted classes, read once: a query of setools for each line takes a second."""

    def __init__(self, policy, classes):
        self.names = {}
        for type_ in policy.types():
            self.names[str(type_)] = [str(type_), *map(str, type_.attributes())]
        self.found = collections.defaultdict(list)
        for rule in policy.terules():
            kind = str(rule.ruletype)
            if kind in VERBS.values() and str(rule.tclass) in classes:
                self.found[kind, str(rule.source), str(rule.target), str(rule.tclass)].append(rule)

    def between(self, kind, source, target, tclass):
        """What applies to the two types, by their names and by their attributes."""
        pairs = list(itertools.product(self.names[source], self.names[target]))
        if source == target:
            pairs += [(name, "self") for name in self.names[source]]
        return itertools.chain.from_iterable(self.found.get((kind, *pair, tclass), []) for pair in pairs)


def conditional(rule):
    try:
        return rule.conditional is not None
    except setools.exception.RuleNotConditional:
        return False


def holds(rules, verb, source, target, tclass, last):
    found = rules.between(VERBS[verb], source, target, tclass)
    if verb == "transition":
        return any(str(rule.default) == last for rule in found)
    found = [rule for rule in found if last in map(str, rule.perms)]
    if verb == "allow":
        return any(not conditional(rule) for rule in found)
    for rule in found:
        print(f"    {rule}")
    return not found


def main(suite, policy, table):
    rules = Rules(setools.SELinuxPolicy(policy), {words[3] for words in lines(table)})
    failed = 0
    for words in lines(table):
        good = holds(rules, *words)
        failed += not good
        print(f"{'ok' if good else 'FAIL'} {suite}: {' '.join(words)}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
