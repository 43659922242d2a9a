"""Where gatepost answers otherwise than libmilter, on purpose: each case with its reason.

None of it is in a conversation that both MTAs and libmilter agree on. Each case is played to both, so that
the list stays true: a difference that vanished fails as well as one that changed. A conversation is
sent whole and ends with QUIT, so that silence shows as a missing answer and needs no waiting.
"""

import struct

from mta import packet, strings

O = packet("O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
O3 = packet("O", struct.pack(">III", 3, 0x1FF, 0x17F))
Q = packet("Q")
C = packet("C", strings("client.example") + b"4\x20\x01" + strings("192.0.2.1"))
H = packet("H", strings("mx.example"))
R = packet("R", strings("<u@x.example>"))
T, N, E, A, K = (packet(code) for code in "TNEAK")
UNSENT = "an MTA would wait for its whole timeout"


def mail(wish="continue", *parameters):
    return packet("M", strings(f"<{wish}@x.example>", *parameters))


def header(name, value):
    return packet("L", strings(name, value))


def connect(name="client.example", rest=b"4\x20\x01192.0.2.1\0"):
    return packet("C", strings(name) + rest)


# Title, why gatepost does otherwise, packets, libmilter's answers, gatepost's answers, in the words of render().
CASES = [
    # What is legal and libmilter leaves unanswered, or answers wrongly.
    ("a recipient after a refused DATA", UNSENT, [O, C, H, mail("continue", "X-DATA=reject"), R, T, R], "O c c c c r", "O c c c c r c"),
    ("a recipient after a message was accepted at MAIL", UNSENT, [O, C, H, mail("accept"), R], "O c c a", "O c c a c"),
    ("an unknown command before the headers, where DATA is not sent", UNSENT,
     [O3, C, H, mail(), R, packet("U", strings("XYZ")), header("Subject", "x")], "O c c c c c", "O c c c c c c"),
    ("a new session in the middle of a message", UNSENT, [O, C, H, mail(), K, C, H], "O c c c c", "O c c c c c"),
    ("a new session after a message that was refused at its end", UNSENT,
     [O, C, H, mail("continue", "X-END=reject"), R, T, N, E, K, C], "O c c c c c c r", "O c c c c c c r c"),
    ("a header field longer than 65,536 octets", "Postfix sends them", [O, C, H, mail(), R, T, header("X", "x" * 70000), H],
     "O c c c c c", "O c c c c c c c"),
    ("a client whose address cannot be read", "its mail can be judged all the same",
     [O, connect(rest=b"4\x20\x01999.1.1.1\0"), H], "O", "O c c"),
    ("a client of a family of the future", "its mail can be judged all the same", [O, connect(rest=b"X"), H], "O", "O c c"),
    ("a piece of the body without octets", "there is nothing wrong with it", [O, C, H, mail(), R, T, N, packet("B"), E],
     "O c c c c c c", "O c c c c c c c h c"),
    ("a last piece of the body that is refused, in the end of the message", "one event gets one answer",
     [O, C, H, mail(), R, T, N, packet("E", b"!reject\r\n")], "O c c c c c c r r", "O c c c c c c h c"),
    ("the macros of an earlier message", "a login must never be taken for that of another sender",
     [O, C, H, mail("echo"), A, packet("D", b"M" + strings("{auth_authen}", "u")), mail("echo"), A, mail("echo")],
     "O c c y1 y2 y2", "O c c y1 y2 y1"),
    # What no MTA sends: gatepost closes at once where libmilter says nothing.
    ("a second negotiation", UNSENT, [O, O, H], "O c", "O"),
    ("a second client", UNSENT, [O, C, C, H], "O c c", "O c"),
    ("a HELO without its NUL", UNSENT, [O, C, packet("H", b"x"), H], "O c c", "O c"),
    ("a header field outside of a message", UNSENT, [O, C, header("Subject", "x"), H], "O c c", "O c"),
    ("a recipient after a HELO in the middle of a message", UNSENT, [O, C, H, mail(), H, R], "O c c c c", "O c c c c c"),
    # What a callback may not say.
    ("discard at CONNECT", "Sendmail would let all mail of the session pass", [O, connect("discard.example"), H], "O d c", "O c c"),
    ("accept to an unknown command", "Postfix would take it for the whole session",
     [O, C, H, packet("U", strings("accept")), H], "O c c a c", "O c c c c"),
    ("the header field of index 0", "fields are counted from 1; both MTAs read 0 as 1",
     [O, C, H, mail("continue", "X-EDIT=change 0 Subject x"), R, T, N, E], "O c c c c c c h m0 c", "O c c c c c c h m1 c"),
    ("a reply line longer than SMTP allows", "it is wrapped", [O, C, H, mail("long")], "O c c y1", "O c c y1+"),
    # What gatepost bounds.
    ("the 33rd parameter of MAIL", "there are not half as many in all extensions together",
     [O, C, H, mail("continue", *["X=y"] * 32, "X-DATA=reject"), R, T], "O c c c c r", "O c c c c c"),
]


def render(peer, packets, ended):
    """The answers as words: codes, replies numbered by their text with a plus for each further line."""
    words, texts = [], []
    try:
        peer.send(b"".join(packets))
        peer.send(Q)
    except ended:
        pass
    octets = peer.rest()
    while octets:
        size = 4 + struct.unpack(">I", octets[:4])[0]
        code, data, octets = octets[4:5].decode("latin-1"), octets[5:size], octets[size:]
        if code == "y":
            texts += [] if data in texts else [data]
            code += str(1 + texts.index(data)) + "+" * data.count(b"\r\n")
        elif code == "m":
            code += str(struct.unpack(">I", data[:4])[0])
        words.append(code)
    return " ".join(words)


def check(paths, connect_to, ended):
    """Plays every case; gives its title, and what was not as listed."""
    for title, why, packets, *listed in CASES:
        peers = [connect_to(path) for path in paths]
        heard = [render(peer, packets, ended) for peer in peers]
        for peer in peers:
            peer.socket.close()
        problems = [f"{name} said {said}, not {wanted}"
                    for name, said, wanted in zip(("libmilter", "gatepost"), heard, listed) if said != wanted]
        if listed[0] == listed[1]:
            problems.append("no difference is listed")
        yield f"listed difference: {title} ({why})", problems
