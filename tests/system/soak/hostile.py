"""Peers that no mail server is: garbage, absurd lengths, drops, silence, floods, ends in every state."""

import asyncio
import socket
import struct

from mta import packet, strings
from wire import Lost, Wire

NEGOTIATION = packet("O", struct.pack(">III", 6, 0x1FF, 0))
CONNECT = packet("C", strings("client.example") + b"4" + struct.pack(">H", 4025) + strings("8.20.9.9"))
MAIL = packet("M", strings("<u@clean.example>"))
STATES = [
    NEGOTIATION, packet("D", b"C" + strings("j", "mx.here.example")) + CONNECT, packet("H", strings("mx.clean.example")), MAIL,
    packet("R", strings("<r@here.example>")), packet("T"), packet("L", strings("Subject", "hello")), packet("N"),
    packet("B", b"Hello\r\n"), packet("E"), packet("A"), packet("Q"),
]
LENGTHS = (0, 0x00010002, 0x7FFFFFFF, 0xFFFFFFFF)


class Hostile:
    def __init__(self, load):
        self.load, self.random = load, load.random

    async def wire(self):
        wire = Wire(self.load.keeper, self.load.history.clock)
        await wire.open(self.random.random() < 0.5)
        return wire

    async def cut(self):
        """Ends after so many packets, or within one, in one of three ways."""
        wire = await self.wire()
        count = self.random.randrange(len(STATES) + 1)
        after = STATES[count] if count < len(STATES) else b""
        wire.raw(b"".join(STATES[:count]) + after[: self.random.randrange(len(after) + 1)])
        way = self.random.choice(("close", "half", "reset"))
        if way == "half":
            wire.writer.write_eof()
            await wire.ends()
        elif self.random.random() < 0.5:
            await asyncio.sleep(0.05)
        wire.close(way == "reset")

    async def garbage(self):
        wire = await self.wire()
        if self.random.random() < 0.5:
            wire.raw(NEGOTIATION)
        wire.raw(self.random.randbytes(self.random.randrange(1, 3000)))
        await wire.ends()
        wire.close()

    async def length(self):
        wire = await self.wire()
        if self.random.random() < 0.5:
            wire.raw(NEGOTIATION)
        wire.raw(struct.pack(">I", self.random.choice(LENGTHS)) + b"M" + b"x" * 1000)
        await wire.ends()
        wire.close()

    async def unknown(self):
        """A command that is none, or one that is cut short."""
        wire = await self.wire()
        code = self.random.choice([chr(octet) for octet in range(128) if chr(octet) not in "OQKABCDEHLMNRTU"])
        wire.raw(NEGOTIATION + self.random.choice((packet(code), packet("C", b"name\0009\0\0x\0"), packet("M", b"\xff" * 9), packet("R", b"x"))))
        await asyncio.sleep(0.1)
        wire.close()

    async def trickle(self):
        """One octet a second, as long as it lasts."""
        wire = await self.wire()
        wire.raw(NEGOTIATION)
        ends = asyncio.ensure_future(wire.ends())
        for octet in packet("C", strings("x" * 300)):
            if ends.done() or self.load.ending:
                break
            wire.raw(bytes([octet]))
            await asyncio.wait([ends], timeout=1)
        wire.close()
        await ends

    async def unread(self):
        """Asks and does not read, until it is hung up on."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as mute:
            mute.setblocking(False)
            await loop.sock_connect(mute, self.load.keeper.unix)
            await loop.sock_sendall(mute, NEGOTIATION + CONNECT + STATES[2])
            try:
                async with asyncio.timeout(120):
                    while True:
                        await loop.sock_sendall(mute, MAIL * 100)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise Lost("whoever does not read is kept") from None

    async def flood(self):
        """Connections without an octet."""
        wires = await asyncio.gather(*(self.wire() for _ in range(300)))
        await asyncio.sleep(self.random.choice((0, 1)))
        for wire in wires:
            wire.close(self.random.random() < 0.5)

    async def recipients(self):
        """Macros and recipients without end."""
        wire = await self.wire()
        await wire.greet()
        for octets in STATES[1:4]:
            wire.raw(octets)
            await wire.answer()
        for n in range(20):
            wire.raw(packet("D", b"R" + b"".join(strings(f"{{m{n}-{m}}}", "v" * 1000) for m in range(50))))
        for first in range(0, 2000, 100):
            wire.raw(b"".join(packet("R", strings(f"<r{n}@here.example>")) for n in range(first, first + 100)))
            for _ in range(100):
                if (await wire.answer())[0] not in "cy":
                    raise Lost("a recipient is not answered")
        wire.close()

    async def run(self, rate):
        """Each kind in its turn at random; floods and who stays now and then."""
        turns = 0
        while not self.load.ending:
            await asyncio.sleep(self.random.expovariate(rate))
            act = self.random.choices((self.cut, self.garbage, self.length, self.unknown), (6, 1, 2, 2))[0]
            self.load.begin(act(), f"hostile {act.__name__}")
            turns += 1
            for act, period in ((self.trickle, 60), (self.unread, 150), (self.flood, 400), (self.recipients, 250)):
                if turns % period == period // 2:
                    self.load.begin(act(), f"hostile {act.__name__}")
