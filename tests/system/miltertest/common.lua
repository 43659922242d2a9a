-- What the scripts share.  miltertest runs them with -D suite, socket, log (the daemon's log or "") and dir.
local names = {
    [SMFIR_CONTINUE] = "continue", [SMFIR_ACCEPT] = "accept", [SMFIR_REJECT] = "reject",
    [SMFIR_TEMPFAIL] = "tempfail", [SMFIR_DISCARD] = "discard", [SMFIR_REPLYCODE] = "a reply of its own",
    [SMFIR_SKIP] = "skip",
}

-- One case.  A failing case does not end the script.
function case(title, body)
    local good, why = pcall(body)
    if good then
        mt.echo("ok " .. suite .. ": " .. title)
    else
        mt.echo("FAIL " .. suite .. ": " .. title .. "\n    " .. tostring(why))
    end
end

-- The answer to the last event.
function says(conn, wanted, event)
    local got = mt.getreply(conn)
    if got ~= wanted then
        error(event .. ": expected " .. names[wanted] .. ", got " .. (names[got] or string.format("code %d", got)), 2)
    end
end

-- mt functions return nil, or what went wrong.
function good(problem)
    if problem ~= nil then error(problem, 2) end
end

-- A new connection with version 6 negotiated, unless others are given.  miltertest 1.6 puts the last two
-- arguments of mt.negotiate on the wire the other way round than its manual says.
function session(version, actions, steps)
    local conn = mt.connect(socket)
    if conn == nil then error("cannot connect to " .. socket, 2) end
    good(mt.negotiate(conn, version, steps, actions))
    return conn
end

-- Events whose answer is to be CONTINUE.
function greet(conn, address, helo)
    good(mt.conninfo(conn, "[" .. address .. "]", address))
    says(conn, SMFIR_CONTINUE, "CONNECT")
    good(mt.helo(conn, helo or "mail.clean.example"))
    says(conn, SMFIR_CONTINUE, "HELO")
end

function mail(conn, sender)
    mt.macro(conn, SMFIC_MAIL, "{mail_addr}", sender)
    good(mt.mailfrom(conn, "<" .. sender .. ">", "SIZE=100"))
end

-- RCPT is declined when the verdict is given before it; then there is nothing to send or to answer.
function rcpt(conn, recipient, wanted)
    wanted = wanted or SMFIR_CONTINUE
    if mt.test_option(conn, SMFIP_NORCPT) then
        if wanted ~= SMFIR_CONTINUE then error("RCPT is declined", 2) end
        return
    end
    mt.macro(conn, SMFIC_RCPT, "i", "QUEUEID", "{rcpt_addr}", recipient)
    good(mt.rcptto(conn, "<" .. recipient .. ">"))
    says(conn, wanted, "RCPT " .. recipient)
end

-- The rest of a mail that is let in, as far as the filter wants to see it.
function finish(conn)
    if not mt.test_option(conn, SMFIP_NODATA) then
        good(mt.data(conn))
        says(conn, SMFIR_CONTINUE, "DATA")
    end
    if not mt.test_option(conn, SMFIP_NOHDRS) then
        good(mt.header(conn, "Subject", "test"))
        says(conn, SMFIR_CONTINUE, "HEADER")
    end
    if not mt.test_option(conn, SMFIP_NOEOH) then
        good(mt.eoh(conn))
        says(conn, SMFIR_CONTINUE, "EOH")
    end
    if not mt.test_option(conn, SMFIP_NOBODY) then
        good(mt.bodystring(conn, "A test.\r\n"))
        says(conn, SMFIR_CONTINUE, "BODY")
    end
    good(mt.eom(conn))
    local got = mt.getreply(conn)
    if got ~= SMFIR_CONTINUE and got ~= SMFIR_ACCEPT then
        error("end of message: expected continue or accept, got " .. (names[got] or got), 2)
    end
end

-- miltertest keeps no text of a reply before the end of the message: the daemon's log has it.
local function log_text()
    local file = assert(io.open(log))
    local text = file:read("a")
    file:close()
    return text
end

function logged(text)
    for _ = 1, 40 do
        if log_text():find(text, 1, true) then return end
        mt.sleep(0.05)
    end
    error("not in the log: " .. text, 2)
end
