"""What the name server may say to a question, zone by zone, each with its tag.

`listed` is a code that the Python milter refuses, `other` one that it does not.
"""

# For these it is a matter of time how often is asked, and how.
PATIENT = {"silence", "garbage", "misnumbered", "stranger", "lost"}
# After these gatepost leaves the list alone for a while, or may do so.
RESTS = PATIENT | {"servfail", "refused", "formerr", "notimp"}

COMMON = [
    ("nxdomain", "none"),
    ("nodata", "none"),
    ("aaaa", "none"),
    ("txt", "none"),
    ("servfail", "servfail"),
    ("refused", "servfail"),
    ("formerr", "formerr"),
    ("notimp", "formerr"),
    ("silence", "silence"),
    ("garbage", "garbage"),
    ("misnumbered", "silence"),
    ("stranger", "stranger"),
    ("alias", "alias"),
    ("alias nxdomain", "alias"),
    *((f"codes 127.255.255.{last}", "error") for last in (0, 250, 251, 252, 253, 254, 255)),
    ("codes 192.0.2.1", "rewritten"),
    ("codes 10.0.0.1", "rewritten"),
    ("codes 127.0.0.1", "rewritten"),
]


def of_zone(group, listed, other, foreign, misuse=()):
    """The answers of a zone: every code by itself, some together, and what is wrong."""
    first = f"127.0.{group}.{listed[0]}"
    return [
        *COMMON,
        *((f"codes 127.0.{group}.{last}", "listed") for last in listed),
        *((f"codes 127.0.{group}.{last}", "other") for last in other),
        *((f"codes 127.0.{group}.{last}", "misuse") for last in misuse),
        (f"codes 127.0.{group}.{other[0]} {first}", "listed"),
        (f"codes {foreign}", "other"),
        (f"codes {foreign} {first}", "listed"),
        (f"alias {first}", "listed"),
        (f"tc {first}", "listed"),
        (f"lost {first}", "lost"),
        (f"delay 30 {first}", "listed"),
        (f"codes 127.255.255.254 {first}", "error-and-listed"),
        (f"codes 192.0.2.1 {first}", "rewritten-and-listed"),
    ]


ANSWERS = {
    "zen": of_zone(0, (2, 3, 4, 9, 10, 11), (5, 6, 7, 8, 12, 20, 30, 255), "127.0.1.2"),
    "dbl": of_zone(1, (2, 3, 4, 5, 6, 99), (1, 100, 101, 102, 103, 104, 105, 106, 199, 254), "127.0.0.2", (255,)),
    "zrd": of_zone(2, (2, 3, 12, 23, 24), (1, 25, 100), "127.0.1.2", (255,)),
}
