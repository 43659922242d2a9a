"""A milter connection of the driver: events go out, answers come in, steps that are not wanted are left out."""

import asyncio
import struct

from mta import BITS, packet, strings

# A restart holds an answer back, and a busy machine, too.
PATIENCE = 60
ACTIONS = 0x1FF
EDITS, LAST = "+-himbe24q", "acdrtyfs"


class Lost(Exception):
    """The connection ended where it must not."""


class Wire:
    def __init__(self, keeper, clock):
        self.keeper, self.clock = keeper, clock
        self.reader = self.writer = None
        self.steps, self.begun, self.greeted = 0, 0.0, 0.0
        # Seconds that the peer was made to wait for answers of this session.
        self.waited = 0.0

    async def open(self, over_tcp):
        self.begun = self.clock()
        if over_tcp:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.keeper.port)
        else:
            self.reader, self.writer = await asyncio.open_unix_connection(self.keeper.unix)

    async def greet(self, offered=0, version=6):
        self.send("O", struct.pack(">III", version, ACTIONS, offered))
        code, data = await self.packet()
        if code != "O":
            raise Lost(f"the negotiation is answered {code}")
        self.steps, self.greeted = struct.unpack(">I", data[8:12])[0] & offered, self.clock()

    def send(self, code, data=b""):
        self.writer.write(packet(code, data))

    def raw(self, octets):
        self.writer.write(octets)

    async def packet(self):
        begun = self.clock()
        try:
            async with asyncio.timeout(PATIENCE):
                (length,) = struct.unpack(">I", await self.reader.readexactly(4))
                octets = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Lost(f"it is closed: {error!r}") from None
        except TimeoutError:
            raise Lost(f"no answer in {PATIENCE} s") from None
        self.waited += self.clock() - begun
        return octets[:1].decode("latin-1"), octets[1:]

    async def answer(self):
        """Code, text, and the changes that came before."""
        edits = []
        while True:
            code, data = await self.packet()
            if code in EDITS:
                edits.append((code, data))
            elif code in LAST:
                return code, data, edits
            elif code != "p":
                raise Lost(f"an answer {code!r}")

    def wants(self, code):
        return not self.steps & BITS[code][0]

    def awaits(self, code):
        return not self.steps & BITS[code][1]

    async def ask(self, code, data=b""):
        """An event, and what is said to it; "c" where nobody asked for it, or nothing is said."""
        if not self.wants(code):
            return "c", b"", []
        self.send(code, data)
        return await self.answer() if self.awaits(code) else ("c", b"", [])

    def macros(self, stage, *pairs):
        self.send("D", stage.encode() + strings(*pairs))

    async def ends(self):
        """Waits for the end of the connection, and gives the seconds that it took."""
        begun = self.clock()
        try:
            async with asyncio.timeout(180):
                while await self.reader.read(1 << 16):
                    pass
        except ConnectionError:
            pass
        except TimeoutError:
            raise Lost("it is not closed") from None
        return self.clock() - begun

    def close(self, reset=False):
        if self.writer and reset:
            self.writer.transport.abort()
        elif self.writer:
            self.writer.close()
