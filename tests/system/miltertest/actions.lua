-- The example filter that does what the sender's local part says, event by event.
dofile(dir .. "/common.lua")

local all_actions, all_steps = 0x1ff, 0x1fffff

-- A mail from this sender up to, not including, DATA.
local function open(action)
    local conn = session(6, all_actions, all_steps)
    greet(conn, "192.0.2.1", "client.example")
    mail(conn, action .. "@example.com")
    return conn
end

local function to_data(action)
    local conn = open(action)
    says(conn, SMFIR_CONTINUE, "MAIL")
    rcpt(conn, "u@example.org")
    return conn
end

local function to_headers(action)
    local conn = to_data(action)
    good(mt.data(conn))
    says(conn, SMFIR_CONTINUE, "DATA")
    return conn
end

local function to_end(action)
    local conn = to_headers(action)
    good(mt.header(conn, "Subject", "test"))
    says(conn, SMFIR_CONTINUE, "HEADER")
    good(mt.eoh(conn))
    says(conn, SMFIR_CONTINUE, "EOH")
    good(mt.bodystring(conn, "A test.\r\n"))
    says(conn, SMFIR_CONTINUE, "BODY")
    return conn
end

local function at_end(action)
    local conn = to_end(action)
    good(mt.eom(conn))
    return conn
end

-- The connection must go on to work for the next mail.
local function goes_on(conn)
    mt.abort(conn)
    mail(conn, "nothing@example.com")
    says(conn, SMFIR_CONTINUE, "MAIL after it")
    rcpt(conn, "u@example.org")
    finish(conn)
    mt.disconnect(conn)
end

local function refused(event, action, wanted, upto, send)
    case(action .. " answers " .. event, function()
        local conn = upto(action)
        if send then good(send(conn)) end
        says(conn, wanted, event)
        goes_on(conn)
    end)
end

local function final(action, wanted)
    case(action .. " answers the end of the message", function()
        local conn = at_end(action)
        says(conn, wanted, "end of message")
        goes_on(conn)
    end)
end

local function edit(action, title, check, ...)
    local wanted = { ... }
    case(action .. " " .. title, function()
        local conn = at_end(action)
        local got = mt.getreply(conn)
        if got ~= SMFIR_CONTINUE and got ~= SMFIR_ACCEPT then error(string.format("end of message: code %d", got)) end
        if check and not mt.eom_check(conn, check, table.unpack(wanted)) then error("the change was not asked for") end
        goes_on(conn)
    end)
end

-- CONNECT and HELO
for name, wanted in pairs({ ["connect-reject.example"] = SMFIR_REJECT, ["connect-tempfail.example"] = SMFIR_TEMPFAIL }) do
    case(name .. " answers CONNECT", function()
        local conn = session(6, all_actions, all_steps)
        good(mt.conninfo(conn, name, "192.0.2.1"))
        says(conn, wanted, "CONNECT")
        mt.disconnect(conn)
    end)
end
for name, wanted in pairs({ ["helo-reject.example"] = SMFIR_REJECT, ["helo-tempfail.example"] = SMFIR_TEMPFAIL }) do
    case(name .. " answers HELO", function()
        local conn = session(6, all_actions, all_steps)
        good(mt.conninfo(conn, "client.example", "192.0.2.1"))
        says(conn, SMFIR_CONTINUE, "CONNECT")
        good(mt.helo(conn, name))
        says(conn, wanted, "HELO")
        mt.disconnect(conn)
    end)
end

-- MAIL to BODY
refused("MAIL", "mail-reject", SMFIR_REJECT, open)
refused("MAIL", "mail-tempfail", SMFIR_TEMPFAIL, open)
refused("MAIL", "mail-reply", SMFIR_REPLYCODE, open)
refused("MAIL", "mail-discard", SMFIR_DISCARD, open)
refused("MAIL", "mail-accept", SMFIR_ACCEPT, open)
local function to_rcpt(action)
    local conn = open(action)
    says(conn, SMFIR_CONTINUE, "MAIL")
    return conn
end
local function send_rcpt(conn) return mt.rcptto(conn, "<u@example.org>") end
refused("RCPT", "rcpt-reject", SMFIR_REJECT, to_rcpt, send_rcpt)
refused("RCPT", "rcpt-tempfail", SMFIR_TEMPFAIL, to_rcpt, send_rcpt)
refused("RCPT", "rcpt-accept", SMFIR_ACCEPT, to_rcpt, send_rcpt)
case("rcpt-reject concerns each recipient by itself", function()
    local conn = to_rcpt("rcpt-reject")
    for number = 1, 3 do
        rcpt(conn, "u" .. number .. "@example.org", SMFIR_REJECT)
    end
    goes_on(conn)
end)
refused("DATA", "data-reject", SMFIR_REJECT, to_data, mt.data)
refused("DATA", "data-tempfail", SMFIR_TEMPFAIL, to_data, mt.data)
case("after a refused DATA the same mail may have RCPT and DATA again", function()
    local conn = to_data("data-tempfail")
    good(mt.data(conn))
    says(conn, SMFIR_TEMPFAIL, "DATA")
    rcpt(conn, "u2@example.org")
    good(mt.data(conn))
    says(conn, SMFIR_TEMPFAIL, "DATA")
    goes_on(conn)
end)
local function send_header(conn) return mt.header(conn, "Subject", "test") end
refused("HEADER", "header-reject", SMFIR_REJECT, to_headers, send_header)
local function after_header(action)
    local conn = to_headers(action)
    good(send_header(conn))
    says(conn, SMFIR_CONTINUE, "HEADER")
    return conn
end
refused("EOH", "eoh-reject", SMFIR_REJECT, after_header, mt.eoh)
local function after_eoh(action)
    local conn = after_header(action)
    good(mt.eoh(conn))
    says(conn, SMFIR_CONTINUE, "EOH")
    return conn
end
local function send_body(conn) return mt.bodystring(conn, "A test.\r\n") end
refused("BODY", "body-reject", SMFIR_REJECT, after_eoh, send_body)
case("body-skip has seen enough of the body", function()
    local conn = after_eoh("body-skip")
    good(send_body(conn))
    says(conn, SMFIR_SKIP, "BODY")
    good(mt.eom(conn))
    goes_on(conn)
end)
case("body-skip where the MTA knows no skip goes on reading", function()
    local conn = session(2, 0x3f, 0x7f)
    greet(conn, "192.0.2.1", "client.example")
    mail(conn, "body-skip@example.com")
    says(conn, SMFIR_CONTINUE, "MAIL")
    rcpt(conn, "u@example.org")
    good(mt.header(conn, "Subject", "test"))
    good(mt.eoh(conn))
    for _ = 1, 3 do
        good(send_body(conn))
        says(conn, SMFIR_CONTINUE, "BODY")
    end
    good(mt.eom(conn))
    mt.disconnect(conn)
end)

-- The end of the message
final("eom-reject", SMFIR_REJECT)
final("eom-tempfail", SMFIR_TEMPFAIL)
final("eom-discard", SMFIR_DISCARD)
case("eom-reply answers with a text of two lines", function()
    local conn = at_end("eom-reply")
    says(conn, SMFIR_REPLYCODE, "end of message")
    if not mt.eom_check(conn, MT_SMTPREPLY, "550-5.7.1 first line\r\n550", "5.7.1", "second line, 100%%") then
        error("not the two lines")
    end
    goes_on(conn)
end)
edit("eom-addheader", "adds a header", MT_HDRADD, "X-Action", "added")
edit("eom-insheader", "inserts a header on top", MT_HDRINSERT, "X-Action", "inserted", 0)
edit("eom-chgheader", "changes a header", MT_HDRCHANGE, "Subject", "changed")
edit("eom-delheader", "deletes a header", MT_HDRDELETE, "Subject", 1)
edit("eom-addrcpt", "adds a recipient", MT_RCPTADD, "<added@example.org>")
edit("eom-delrcpt", "deletes a recipient", MT_RCPTDELETE, "<u@example.org>")
edit("eom-replbody", "replaces the body", MT_BODYCHANGE, "replaced\r\n")
edit("eom-quarantine", "holds the mail", MT_QUARANTINE, "held by every_action")
-- miltertest cannot look into this one; Postfix does.
edit("eom-chgfrom", "changes the sender", nil)
edit("nothing", "lets the mail in", nil)
