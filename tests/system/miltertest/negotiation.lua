-- set ENFORCE_STAGE=mail
dofile(dir .. "/common.lua")

-- What mail servers offer: version, actions, steps.
local offers = {
    { "version 2 as Postfix offers it", 2, 0x1ff, 0x7f },
    { "version 2 of Sendmail 8.13", 2, 0x3f, 0x7f },
    { "version 3", 3, 0x1ff, 0x17f },
    { "version 4", 4, 0x1ff, 0x37f },
    { "version 6", 6, 0x1ff, 0x1fffff },
    { "version 6 with few steps", 6, 0xff, 0x42 },
    { "version 6 without symbol lists", 6, 0xff, 0x1fffff },
    { "version 2 with every step", 2, 0x1ff, 0x1fffff },
    { "version 7 with every bit", 7, 0x7fffffff, 0x7fffffff },
    { "no actions and no steps", 2, 0, 0 },
}

for _, offer in ipairs(offers) do
    case("a session with " .. offer[1], function()
        local conn = session(offer[2], offer[3], offer[4])
        for name, bit in pairs({
            NOCONNECT = 0x1, NOHELO = 0x2, NOMAIL = 0x4, NORCPT = 0x8, NOBODY = 0x10, NOHDRS = 0x20, NOEOH = 0x40, NR_HDR = 0x80,
            NOUNKNOWN = 0x100, NODATA = 0x200, SKIP = 0x400, RCPT_REJ = 0x800, NR_CONN = 0x1000, NR_HELO = 0x2000,
            NR_MAIL = 0x4000, NR_RCPT = 0x8000, NR_DATA = 0x10000, NR_UNKN = 0x20000, NR_EOH = 0x40000, NR_BODY = 0x80000,
            HDR_LEADSPC = 0x100000, MDS_256K = 0x10000000, MDS_1M = 0x20000000,
        }) do
            local offered = offer[4] == 0 and 0x3f or offer[4]
            if offered & bit == 0 and mt.test_option(conn, bit) then error("asks for " .. name .. ", which was not offered") end
        end
        for _, bit in ipairs({ 0x10000000, 0x20000000 }) do
            if mt.test_option(conn, bit) then error("asks for larger chunks") end
        end
        greet(conn, "8.8.2.3")
        mail(conn, "u@clean.example")
        says(conn, SMFIR_REPLYCODE, "MAIL of a listed client")
        mt.disconnect(conn)

        conn = session(offer[2], offer[3], offer[4])
        greet(conn, "8.8.3.1")
        mail(conn, "u@clean.example")
        says(conn, SMFIR_CONTINUE, "MAIL")
        rcpt(conn, "u@example.org")
        finish(conn)
        mt.disconnect(conn)
    end)
end

case("CONNECT and HELO are answered at once, not declined", function()
    local conn = session()
    for name, option in pairs({ NR_CONN = SMFIP_NR_CONN, NR_HELO = SMFIP_NR_HELO, NOCONNECT = SMFIP_NOCONNECT, NOHELO = SMFIP_NOHELO }) do
        if mt.test_option(conn, option) then error("asks for " .. name) end
    end
    mt.disconnect(conn)
end)

case("headers and body are declined when no check needs them", function()
    local conn = session()
    for name, option in pairs({ NOHDRS = SMFIP_NOHDRS, NOBODY = SMFIP_NOBODY, NOEOH = SMFIP_NOEOH, NODATA = SMFIP_NODATA }) do
        if not mt.test_option(conn, option) then error("does not ask for " .. name) end
    end
    mt.disconnect(conn)
end)
