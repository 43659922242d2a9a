"""SMTP and DNS from inside a container, with nothing but Python's library.

mail.py resolve NAME              addresses of NAME, from 127.0.0.1
mail.py send CLIENT SENDER        one mail; prints the last reply
mail.py load SESSIONS MAILS PACE  sessions at once, MAILS in each, PACE seconds apart; prints counts as JSON, and how far it is as it goes on
"""

import collections
import json
import random
import smtplib
import socket
import struct
import sys
import threading
import time

CLEAN, LISTED = "u@clean.example", "u@spam.example"


def resolve(name):
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.settimeout(1)
        dns.connect(("127.0.0.1", 53))
        dns.send(struct.pack(">6H", random.randrange(1 << 16), 256, 1, 0, 0, 0) + question + b"\0\0\1\0\1")
        reply = dns.recv(512)
    at = 12 + len(question) + 5
    for _ in range(struct.unpack(">H", reply[6:8])[0]):
        at += 10
        size = struct.unpack(">H", reply[at : at + 2])[0]
        if size == 4:
            print(socket.inet_ntoa(reply[at + 2 : at + 6]))
        at += 2 + size


def text(reply):
    code, words = reply
    return f"{code} {words.decode(errors='replace')}"


def introduce(client):
    smtp = smtplib.SMTP("127.0.0.1", 25, local_hostname="mail.clean.example", timeout=60)
    smtp.ehlo()
    code, words = smtp.docmd("XCLIENT", f"NAME=[UNAVAILABLE] ADDR={client}")
    if code != 220:
        raise SystemExit(text((code, words)))
    smtp.ehlo()
    return smtp


def transaction(smtp, sender):
    for command in (f"MAIL FROM:<{sender}>", "RCPT TO:<root>"):
        code, words = smtp.docmd(command)
        if code >= 400:
            smtp.docmd("RSET")
            return code, words
    return smtp.data(f"From: {sender}\r\nSubject: test\r\n\r\ntest\r\n")


def send(client, sender):
    smtp = introduce(client)
    print(text(transaction(smtp, sender)))
    smtp.quit()


def load(sessions, mails, pace):
    counts, longest, lock = collections.Counter(), [0.0], threading.Lock()

    def session(number):
        smtp = None
        for mail in range(mails):
            sender, wanted = (LISTED, 550) if mail % 2 else (CLEAN, 250)
            began = time.monotonic()
            try:
                smtp = smtp or introduce(f"8.8.3.{number + 1}")
                code = transaction(smtp, sender)[0]
            except (OSError, smtplib.SMTPException) as error:
                code, smtp = type(error).__name__, None
            took = time.monotonic() - began
            with lock:
                counts[str(code)] += 1
                counts["wrong"] += code != wanted
                judged = sum(counts.values()) - counts["wrong"]
                if judged % 10 == 0:
                    print(f"{judged} mails", file=sys.stderr, flush=True)
                longest[0] = max(longest[0], took)
            time.sleep(pace)
        if smtp:
            smtp.quit()

    threads = [threading.Thread(target=session, args=(n,)) for n in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({**counts, "longest": round(longest[0], 3)}))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    match command:
        case "resolve":
            resolve(*arguments)
        case "send":
            send(*arguments)
        case "load":
            load(int(arguments[0]), int(arguments[1]), float(arguments[2]))
        case _:
            raise SystemExit(__doc__)
