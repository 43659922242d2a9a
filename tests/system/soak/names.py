"""The name server of the soak: it knows the truth, and has weather."""

from nameserver import Server
from truth import answer


class Sky(Server):
    """Says what is true, behind the words that the script has as "weather"; with a full stop behind them, only those."""

    def words_for(self, name, zone, key):
        weather = self.words.get("weather", [])
        if weather and weather[-1] == ".":
            return weather[:-1]
        return [*weather, *answer(name).split()]
