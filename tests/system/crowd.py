"""Many milter connections at once, with nothing but Python's library.

crowd.py PORT one ADDRESS           one session with that client; prints the code of the last answer
crowd.py PORT flood SESSIONS TIMES  sessions at once, each with so many messages from domains of their own
"""

import asyncio
import struct
import sys

PATIENCE = 60


def packet(command, data=b""):
    return struct.pack(">I", len(data) + 1) + command + data


async def answer(reader):
    (length,) = struct.unpack(">I", await asyncio.wait_for(reader.readexactly(4), PATIENCE))
    return await asyncio.wait_for(reader.readexactly(length), PATIENCE)


async def ask(reader, writer, command, data):
    writer.write(packet(command, data))
    return (await answer(reader))[:1]


async def dial(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # Version 6, all actions; the answers to all events are wanted.
    answered = await ask(reader, writer, b"O", struct.pack(">III", 6, 0x1FF, 0))
    assert answered == b"O", answered
    return reader, writer


async def message(reader, writer, client, helo, sender):
    codes = b""
    connect = b"client.example\0" + b"4" + struct.pack(">H", 25) + client.encode() + b"\0"
    for command, data in ((b"C", connect), (b"H", helo.encode() + b"\0"), (b"M", f"<{sender}>".encode() + b"\0")):
        codes += await ask(reader, writer, command, data)
    return codes


async def one(port, client):
    reader, writer = await dial(port)
    print((await message(reader, writer, client, "mail.clean.example", "u@clean.example"))[-1:].decode())
    writer.close()


async def session(port, number, times):
    reader, writer = await dial(port)
    for n in range(times):
        name = f"s{number}-{n}.example"
        codes = await message(reader, writer, f"8.9.{number >> 8}.{number & 255}", f"mx.{name}", f"u@{name}")
        assert codes == b"ccc", codes
        writer.write(packet(b"K"))
    return writer


async def flood(port, sessions, times):
    writers = await asyncio.gather(*(session(port, n, times) for n in range(sessions)))
    print(f"{len(writers)} sessions, {len(writers) * times} messages")
    for writer in writers:
        writer.close()


if __name__ == "__main__":
    port, command, *arguments = sys.argv[1:]
    match command:
        case "one":
            asyncio.run(one(int(port), *arguments))
        case "flood":
            asyncio.run(flood(int(port), *map(int, arguments)))
        case _:
            raise SystemExit(__doc__)
