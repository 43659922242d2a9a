-- set ENFORCE_STAGE=mail
dofile(dir .. "/common.lua")

case("a whole mail is let in", function()
    local conn = session()
    greet(conn, "8.8.3.1")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "MAIL")
    rcpt(conn, "u1@example.org")
    rcpt(conn, "u2@example.org")
    finish(conn)
    mt.disconnect(conn)
end)

case("a listed client is let through CONNECT and HELO, and refused at MAIL", function()
    local conn = session()
    greet(conn, "8.8.2.4")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_REPLYCODE, "MAIL")
    logged('reply="554 5.7.1 Client host [8.8.2.4] blocked by Spamhaus XBL; see https://check.spamhaus.org/query/ip/8.8.2.4"')
    mt.disconnect(conn)
end)

case("a client without a known family is judged by its sender", function()
    local conn = session()
    good(mt.conninfo(conn, "unknown", "unspec"))
    says(conn, SMFIR_CONTINUE, "CONNECT")
    good(mt.helo(conn, "mail.clean.example"))
    says(conn, SMFIR_CONTINUE, "HELO")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "MAIL")
    mt.disconnect(conn)
end)

case("the null sender in both spellings is let in", function()
    local conn = session()
    greet(conn, "8.8.3.1")
    for _, sender in ipairs({ "<>", "" }) do
        good(mt.mailfrom(conn, sender))
        says(conn, SMFIR_CONTINUE, "MAIL " .. sender)
        mt.abort(conn)
    end
    mt.disconnect(conn)
end)

for title, sender in pairs({
    ["a quoted local part"] = '<"a@b"@spam.example>',
    ["a source route"] = "<@relay.example,@x.example:u@spam.example>",
    ["a final dot"] = "<u@spam.example.>",
    ["capitals"] = "<u@SPAM.Example>",
    ["no brackets"] = "u@spam.example",
    ["a comment"] = "<u@spam.example (comment)>",
    ["blanks"] = "< u@spam.example >",
    ["U-labels"] = "<j\xC3\xB6rg@b\xC3\xBCcher.example>",
    ["an illegal label in front"] = "<u@my_host!.spam.example>",
    ["labels beyond what a name may hold"] = "<u@" .. string.rep(string.rep("x", 60) .. ".", 4) .. "spam.example>",
    ["an empty label"] = "<u@a..spam.example>",
}) do
    case("a listed sender with " .. title .. " is refused", function()
        local conn = session()
        greet(conn, "8.8.3.1")
        good(mt.mailfrom(conn, sender))
        says(conn, SMFIR_REPLYCODE, "MAIL " .. sender)
        mt.disconnect(conn)
    end)
end

for title, sender in pairs({
    ["Latin-1 octets"] = "<u@b\xFCcher.example>",
    ["noise"] = "\x80\xFF<<>>@@",
    ["control characters"] = "<u\r\n\x1b[31m@clean.example>",
    ["no domain"] = "<postmaster>",
    ["an IPv4 literal"] = "<u@[192.0.2.9]>",
    ["an IPv6 literal"] = "<u@[IPv6:2001:db8::1]>",
    ["an address for a domain"] = "<u@1.2.3.4>",
    ["900 octets"] = "<" .. string.rep("u", 900) .. "@clean.example>",
    ["a percent sign"] = "<100%s@clean.example>",
}) do
    case("a sender with " .. title .. " is let in", function()
        local conn = session()
        greet(conn, "8.8.3.1")
        good(mt.mailfrom(conn, sender))
        says(conn, SMFIR_CONTINUE, "MAIL")
        mt.disconnect(conn)
    end)
end

case("several mails on one connection are judged one by one, with and without ABORT between", function()
    local conn = session()
    greet(conn, "8.8.3.1")
    mail(conn, "u@spam.example")
    says(conn, SMFIR_REPLYCODE, "first MAIL")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "second MAIL")
    rcpt(conn, "u@example.org")
    finish(conn)
    mail(conn, "u@phish.example")
    says(conn, SMFIR_REPLYCODE, "third MAIL")
    mt.abort(conn)
    mt.abort(conn)
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "fourth MAIL")
    rcpt(conn, "u@example.org")
    mt.abort(conn)
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "fifth MAIL")
    rcpt(conn, "u@example.org")
    finish(conn)
    mt.disconnect(conn)
end)

case("a verdict on the client holds for each mail of the connection", function()
    local conn = session()
    greet(conn, "8.8.2.9")
    for _ = 1, 3 do
        mail(conn, "u@clean.example")
        says(conn, SMFIR_REPLYCODE, "MAIL")
        mt.abort(conn)
    end
    mt.disconnect(conn)
end)

case("the login of one mail is forgotten with it", function()
    local conn = session()
    greet(conn, "8.8.2.10")
    mt.macro(conn, SMFIC_MAIL, "{auth_type}", "PLAIN", "{auth_authen}", "alice")
    good(mt.mailfrom(conn, "<alice@clean.example>"))
    says(conn, SMFIR_CONTINUE, "MAIL with a login")
    mt.abort(conn)
    good(mt.mailfrom(conn, "<alice@clean.example>"))
    says(conn, SMFIR_REPLYCODE, "MAIL without a login")
    logged("Client host [8.8.2.10] blocked by Spamhaus PBL")
    mt.disconnect(conn)
end)

case("a session on the submission port is not judged by its address", function()
    local conn = session()
    mt.macro(conn, SMFIC_CONNECT, "j", "mx.test.example", "{daemon_name}", "submission", "{daemon_port}", "587")
    greet(conn, "8.8.2.11", "laptop.clean.example")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_CONTINUE, "MAIL")
    mt.disconnect(conn)
end)

case("unknown commands are answered and change nothing", function()
    local conn = session()
    greet(conn, "8.8.3.1")
    if not mt.test_option(conn, SMFIP_NOUNKNOWN) then
        good(mt.unknown(conn, "WIBBLE wobble"))
        says(conn, SMFIR_CONTINUE, "UNKNOWN")
    end
    mail(conn, "u@spam.example")
    says(conn, SMFIR_REPLYCODE, "MAIL")
    mt.disconnect(conn)
end)

case("MAIL without HELO is judged", function()
    local conn = session()
    good(mt.conninfo(conn, "[8.8.2.2]", "8.8.2.2"))
    says(conn, SMFIR_CONTINUE, "CONNECT")
    mail(conn, "u@clean.example")
    says(conn, SMFIR_REPLYCODE, "MAIL")
    mt.disconnect(conn)
end)

case("a client that goes away in the middle of a mail", function()
    local conn = session()
    greet(conn, "8.8.3.1")
    mail(conn, "u@clean.example")
    mt.disconnect(conn, false)
end)

case("forty connections at once are kept apart", function()
    local conns = {}
    for number = 1, 40 do conns[number] = session() end
    for number, conn in ipairs(conns) do greet(conn, number % 2 == 0 and "8.8.2.3" or "8.8.3.1") end
    for _, conn in ipairs(conns) do mail(conn, "u@clean.example") end
    for number, conn in ipairs(conns) do
        says(conn, number % 2 == 0 and SMFIR_REPLYCODE or SMFIR_CONTINUE, "MAIL " .. number)
        mt.disconnect(conn)
    end
end)
