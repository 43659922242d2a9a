"""Faults of lists and of who runs them: F29 to F34."""

import signal

from servers import BUDGET, reversed_client
from table import row
from world import LISTED, REVERSED, Daemon, Wire, expect, milliseconds, session, until, verdict


@row(
    "F29", "127.255.255.252, .254, .255 and an unknown .250, for every question", "each to a daemon of its own, 30 sessions; then a new key",
    "mail comes in, one line says what is wrong and what to do, one question is enough, and nothing is remembered as \"not listed\"",
    "every_operator_code_leaves_the_list_alone, what_an_operator_says_is_never_remembered, an_operator_error_code_never_refuses_mail, "
    "an_operator_error_never_makes_mail_wait_not_even_while_the_list_rests_from_it, a_disabled_key_costs_few_questions_and_one_line",
)
def operator(stage):
    asked, counted, longest, again = {}, 0, 0.0, 0.0
    for code in (252, 254, 255, 250, 249):
        daemon = Daemon(stage, f"operator-{code}", {"DBL_ENABLE": "0", "ZRD_ENABLE": "0"}, {"zen": f"127.255.255.{code}"})
        for client in [LISTED] + [reversed_client(n)[0] for n in range(29)]:
            said, _, took = verdict(daemon, client)
            expect(said == "c" and took < BUDGET, f"{code}: {said}")
            longest = max(longest, took)
        asked[code] = sum(daemon.names.asked().values())
        told = daemon.told(1, "event=zone_state", "zone=zen")
        expect(str(code) in told[0] and told == daemon.loud(), f"{code}: {daemon.loud()}")
        zone = daemon.zone("zen")
        expect(zone["state"] == "error" and zone["remedy"], f"{code}: {zone}")
        errors = daemon.metric("gatepost_dns_errors_total", zone="zen")
        expect(errors >= 30, f"{code}: each is counted")
        counted += errors
        daemon.names.script({REVERSED: "127.0.0.2"})
        daemon.write_env(stage.key2)
        daemon.signal(signal.SIGHUP)
        again = max(again, until(lambda: verdict(daemon, LISTED)[0] == "y", 5, f"{code}: nothing was remembered"))
        daemon.stop()
    expect(set(asked.values()) == {1}, f"questions: {asked}")
    return (
        f"{len(asked)} codes, {sum(asked.values())} questions, {counted} errors counted, the longest wait {milliseconds(longest)}; "
        f"refused {milliseconds(again)} after the new key at most"
    )


@row(
    "F30", "a list that says 127.0.0.2 to every name", "from one moment on, with probes every 60 s (the least there is); mail all the time",
    "within one probe the list is off and one line says so; mail comes in from then on, whatever was remembered",
    "a_list_that_lists_everything_is_left_alone, a_resolver_that_answers_everything_refuses_nobody, a_list_found_to_hold_everything_refuses_nobody_from_memory",
    waits=66,
)
def wildcard(stage):
    entries = {"2.0.0.127.zen": "127.0.0.2", "dbltest.com.dbl": "127.0.1.2", "test.zrd": "127.0.2.2", REVERSED: "127.0.0.2"}
    daemon = Daemon(stage, "wildcard", {"PROBE_INTERVAL": "60"}, entries)
    until(lambda: daemon.names.asked()["1.0.0.127.zen"], 5, "the list is probed at the start")
    daemon.serves()
    daemon.names.script(entries | {"zen": "127.0.0.2", "dbl": "127.0.1.2", "zrd": "127.0.2.2"})
    yield
    wrong, took = 0, 0.0

    def off():
        nonlocal wrong
        client, _ = reversed_client(wrong)
        wrong += verdict(daemon, client)[0] == "y"
        return all(daemon.zone(zone)["state"] == "error" for zone in ("zen", "dbl", "zrd"))

    took = until(off, 70, "all three are off")
    expect(wrong > 0, "the list was believed until then")
    for n in (*range(wrong), 5000):
        expect(session(daemon, reversed_client(n)[0], "mx.any.example", "<u@any.example>") == "ccc", "mail comes in")
    for zone in ("zen", "dbl", "zrd"):
        daemon.told(1, "event=zone_state", f"zone={zone}")
    daemon.stop()
    return f"off after {took:.0f} s, with one line for each list; nobody refused from then on"


@row(
    "F33", "a time to live of 0, of 2^31 and 2^32-1, none for \"not listed\"", "such answers; the name server counts",
    "kept 30 s at least, and no longer than cache.ttl_*; without a time of its own \"not listed\" is kept as well",
    "floor_and_cap_hold_for_any_time_to_live, absurd_times_to_live_are_brought_within_bounds, no_listing_is_remembered_as_long_as_the_soa_says",
)
def lifetimes(stage):
    answers = {"zero": "ttl 0 127.0.0.2", "2^31": f"ttl {2**31} 127.0.0.2", "2^32-1": f"ttl {2**32 - 1} 127.0.0.2", "none": "bare"}
    clients = {way: reversed_client(n) for n, way in enumerate(answers)}
    script = {clients[way][1]: words for way, words in answers.items()}
    daemon = Daemon(stage, "lifetimes", script=script)
    for way, (client, _) in clients.items():
        for _ in range(5):
            expect(verdict(daemon, client)[0] == ("c" if way == "none" else "y"), f"{way}: the verdict")
    asked = daemon.names.asked()
    expect(all(asked[name] == 1 for _, name in clients.values()), f"asked once each: {asked}")
    daemon.stop()
    kept, times = sum(asked.values()), []
    daemon = Daemon(stage, "lifetimes-capped", {"CACHE_TTL_LISTED": "1", "CACHE_TTL_UNLISTED": "1"}, script)
    for client, _ in clients.values():
        verdict(daemon, client)
    for client, name in clients.values():
        daemon.names.asked()

        def again(client=client, name=name):
            verdict(daemon, client)
            return daemon.names.asked()[name]

        times.append(until(again, 5, f"{client} is asked about again"))
    daemon.stop()
    return f"{kept} questions in {5 * len(answers)} sessions; with a limit of 1 s asked again after {milliseconds(max(times))} at most"


@row(
    "F34", "the key is disabled while the daemon runs, and there is a new one", "127.255.255.250 for the old key; then the env file, and SIGHUP; 20 sessions stay open",
    "mail comes in, one alarm, and after the reload the open sessions are judged by the new key",
    "a_new_key_serves_fifty_open_sessions_within_a_second, a_new_key_closes_the_breakers_and_old_answers_do_not_open_them, a_new_key_serves_open_sessions_and_forgives_trouble",
)
def revoked(stage):
    daemon = Daemon(stage, "revoked", script={"dbl": "127.0.1.2", "zrd": "127.0.2.2"})
    wires = [Wire(daemon) for _ in range(20)]
    for wire in wires:
        wire.greet()
        expect(wire.connect("10.1.2.3")[0] == "c", "a session begins")
    expect(wires[0].mail("<u@before.example>")[0] == "y", "the old key serves")
    daemon.names.script({stage.key: "127.255.255.250", "dbl": "127.0.1.2", "zrd": "127.0.2.2"})
    for n, wire in enumerate(wires):
        expect(wire.mail(f"<u@revoked{n}.example>")[0] == "c", "mail comes in")
    for zone in ("dbl", "zrd"):
        daemon.told(1, "ERROR", "event=zone_state", f"zone={zone}")
    daemon.write_env(stage.key2)
    began = daemon.status()["pid"]
    daemon.signal(signal.SIGHUP)
    took = until(lambda: wires[0].mail("<u@after.example>")[0] == "y", 5, "the new key serves")
    for n, wire in enumerate(wires):
        expect(wire.mail(f"<u@after{n}.example>")[0] == "y", "open sessions are judged by the new key")
        wire.close()
    expect(daemon.status()["pid"] == began, "it is the same process")
    daemon.stop()
    return f"20 sessions stayed; judged again {milliseconds(took)} after SIGHUP"
