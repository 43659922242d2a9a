"""Holds the SELinux module against the reference policies of Debian and of Fedora by the names of what it calls.

interfaces.py check SUITE MODULE HEADERS    the module against its table (selinux/interfaces.txt), and the table against
                                            Debian's headers, which are here; Fedora's are not
interfaces.py list MODULE HEADERS           what of the module's names these headers define: for a column of the table

A name that a policy does not define is no error of m4, but passes as text that nothing can compile.
"""

import pathlib
import re
import sys

# Not the policy's: m4's own.
BUILT_IN = {"ifdef"}


def argument(text, at):
    """The argument of m4 that begins there, without its outer quotes, and where it ends."""
    depth, parentheses, out = 0, 0, []
    while at < len(text):
        one = text[at]
        if depth == 0 and parentheses == 0 and one in ",)":
            break
        if one == "`":
            depth += 1
        elif one == "'":
            depth -= 1
        elif depth == 0:
            parentheses += {"(": 1, ")": -1}.get(one, 0)
        if not (one == "`" and depth == 1 or one == "'" and depth == 0):
            out.append(one)
        at += 1
    return "".join(out), at


def expand(text, names):
    """The module as a policy that defines these names reads it."""
    while match := re.search(r"\bifdef\(", text):
        arguments, at = [], match.end()
        while at < len(text):
            one, at = argument(text, at)
            arguments.append(one)
            at += 1
            if text[at - 1] == ")":
                break
        asked, then, *otherwise = arguments
        chosen = then if asked.strip() in names else "".join(otherwise)
        text = text[: match.start()] + chosen + text[at:]
    return text


def used(text):
    """What is called, and the sets of permissions."""
    return set(re.findall(r"\b[a-z]\w*(?=\()|\b\w+_perms\b", text)) - BUILT_IN


def module(folder):
    text = "".join((folder / f"gatepost.{end}").read_text() for end in ("te", "if"))
    return re.sub(r"#.*", "", text)


def asked(text):
    """All names, those of either branch and those only asked for."""
    return used(text) | set(re.findall(r"\bifdef\(`(\w+)'", text))


def defined(headers):
    names = set()
    for path in headers.rglob("*"):
        if path.suffix in {".if", ".spt"}:
            text = path.read_text(errors="replace")
            names |= set(re.findall(r"\b(?:interface|template|define)\(`(\w+)'", text))
    return names


def main():
    verb, *rest = sys.argv[1:]
    if verb == "list":
        folder, headers = map(pathlib.Path, rest)
        print(*sorted(asked(module(folder)) & defined(headers)), sep="\n")
        return 0
    suite, folder, headers = rest[0], pathlib.Path(rest[1]), pathlib.Path(rest[2])
    text = module(folder)
    table = {}
    for line in (folder / "interfaces.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, *policies = line.split()
            table[name] = set(policies)
    failed = False

    def check(title, names):
        nonlocal failed
        print(f"FAIL {suite}: {title}" if names else f"ok {suite}: {title}")
        for name in sorted(names):
            failed = True
            print(f"    {name}")

    check("every name that the module uses is in its table, and no other", asked(text) ^ set(table))
    here = defined(headers)
    check(
        "the table says of Debian's policy what its headers say",
        {name for name, policies in table.items() if ("debian" in policies) != (name in here)},
    )
    for policy in ("debian", "fedora"):
        names = {name for name, policies in table.items() if policy in policies}
        check(f"as the policy of {policy} reads the module, it defines every name", used(expand(text, names)) - names)
    return int(failed)


sys.exit(main())
