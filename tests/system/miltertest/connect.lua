-- set ENFORCE_STAGE=connect
dofile(dir .. "/common.lua")

case("a listed client is refused at CONNECT", function()
    local conn = session()
    good(mt.conninfo(conn, "[8.8.2.2]", "8.8.2.2"))
    says(conn, SMFIR_REPLYCODE, "CONNECT")
    logged('reply="554 5.7.1 Client host [8.8.2.2] blocked by Spamhaus SBL; see https://check.spamhaus.org/query/ip/8.8.2.2"')
    mt.disconnect(conn)
end)

case("a listed IPv6 client is refused at CONNECT", function()
    local conn = session()
    good(mt.conninfo(conn, "[2001:470:1:2::2]", "2001:470:1:2::2"))
    says(conn, SMFIR_REPLYCODE, "CONNECT")
    mt.disconnect(conn)
end)

case("an IPv4 address mapped into IPv6 is the IPv4 address", function()
    local conn = session()
    good(mt.conninfo(conn, "[::ffff:8.8.2.3]", "::ffff:8.8.2.3"))
    says(conn, SMFIR_REPLYCODE, "CONNECT")
    logged("Client host [8.8.2.3] blocked by Spamhaus CSS")
    mt.disconnect(conn)
end)

case("a client of unknown family is let in", function()
    local conn = session()
    good(mt.conninfo(conn, "localhost", "unspec"))
    says(conn, SMFIR_CONTINUE, "CONNECT")
    good(mt.helo(conn, "mail.clean.example"))
    says(conn, SMFIR_CONTINUE, "HELO")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "MAIL")
    rcpt(conn, "u@example.org")
    finish(conn)
    mt.disconnect(conn)
end)

case("a listed HELO name is refused at HELO", function()
    local conn = session()
    good(mt.conninfo(conn, "[8.8.3.1]", "8.8.3.1"))
    says(conn, SMFIR_CONTINUE, "CONNECT")
    good(mt.helo(conn, "mx.spam.example"))
    says(conn, SMFIR_REPLYCODE, "HELO")
    logged('reply="550 5.7.1 HELO name mx.spam.example blocked by Spamhaus DBL; see https://check.spamhaus.org/query/domain/mx.spam.example"')
    mt.disconnect(conn)
end)

for title, helo in pairs({
    ["Latin-1 octets"] = "b\xFCcher.example",
    ["noise"] = "\x80\x81\xFF\xFE.example",
    ["control characters"] = "a\x01\x1b[31m\r\nb.example",
    ["an empty name"] = "",
    ["a dot"] = ".",
    ["an unclosed literal"] = "[192.0.2.1",
    ["an empty literal"] = "[]",
    ["spaces"] = "bad name here",
    ["300 octets in one label"] = string.rep("h", 300),
    ["a numeric name"] = "foo.1234",
    ["a percent sign"] = "100%.clean",
}) do
    case("HELO with " .. title .. " is let in", function()
        local conn = session()
        good(mt.conninfo(conn, "[8.8.3.1]", "8.8.3.1"))
        says(conn, SMFIR_CONTINUE, "CONNECT")
        good(mt.helo(conn, helo))
        says(conn, SMFIR_CONTINUE, "HELO")
        mail(conn, "u@clean.example")
        says(conn, SMFIR_CONTINUE, "MAIL")
        mt.disconnect(conn)
    end)
end

case("bytes from outside never end up raw in the log", function()
    local file = assert(io.open(log, "rb"))
    local text = file:read("a")
    file:close()
    assert(not text:find("[%c]", 1) or not text:gsub("\n", ""):find("[%c\x80-\xFF]"), "control or 8-bit bytes in the log")
end)
