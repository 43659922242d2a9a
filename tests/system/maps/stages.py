"""The sessions of stages.tsv for one mode and stage, as smtp.py plays them: stages.py TABLE MODE STAGE."""
import sys

table, mode, stage = sys.argv[1:]
STAGES = ["connect", "helo", "mail", "rcpt"]


def session(client, sender, recipient, refused, reply, log):
    """What the client says and hears. Postfix says what it heard at CONNECT or HELO when it gets MAIL."""
    refused = stage if refused == "own" else refused
    good, bad = "< 250", f"< {reply}"
    lines = [f"client {client}", "< 554" if refused == "connect" else "< 220", "> EHLO mail.clean.example", good,
             f"> MAIL FROM:<{sender}>", bad if refused in STAGES[:3] else good]
    if refused not in STAGES[:3]:
        lines += [f"> RCPT TO:<{recipient}>", bad if refused == "rcpt" else good]
    wanted, _, unwanted = log.replace("stage=own", f"stage={stage}").partition("!")
    lines += [f"log {wanted}"] if wanted.strip() else []
    lines += [f"nolog {unwanted}"] if unwanted.strip() else []
    return lines + ["> QUIT", "< 221"]


print(f"set ENFORCE_STAGE={stage}")
if mode == "observe":
    print("set DRY_RUN=1")
for line in open(table, encoding="utf-8"):
    if line.startswith("#"):
        continue
    of, stages, *rest = line.rstrip("\n").split("\t")
    if of == mode and (stages == "all" or stage in stages.split()):
        client, sender, recipient, refused, reply, log = rest
        print(f"\ncase {mode}, {stage}: {client} from {sender} to {recipient} {reply[:3]}, {log.strip()}")
        print("\n".join(session(*rest)))
