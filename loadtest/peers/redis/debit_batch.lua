-- Many events in one call, each as debit.lua does it, in the order given.
--
-- KEYS: event, wallet for each event. ARGV: seconds for which identities are remembered, then the amounts.
-- Answers the number of applied events, then index (from 0) and answer of every event that was a duplicate, was rejected or crossed a
-- level: as drawdown does under `Prefer: return=minimal`.
--
-- Identities and wallets are read by one call and wallets written by one, so that only the identities, which expire one by one, take a
-- call each. No more than 2000 events: Lua's stack holds 8000 values.
local keys, ttl, count = KEYS, ARGV[1], #KEYS / 2
local call, unpack_wallet, pack_wallet = redis.call, struct.unpack, struct.pack
local values = call('MGET', unpack(keys))
local seen, balances, belows, floors, levels = {}, {}, {}, {}, {}
local written, slots = {}, {}
local result, applied = { 0 }, 0

for index = 1, count do
    local id, wallet = keys[2 * index - 1], keys[2 * index]
    local first = values[2 * index - 1] or seen[id]
    if first then
        result[#result + 1] = index - 1
        result[#result + 1] = 'd' .. first
    else
        local balance = balances[wallet]
        if not balance then
            balance, floors[wallet], levels[wallet], belows[wallet] = unpack_wallet('<i8i8i8B', values[2 * index])
            balances[wallet] = balance
        end
        local after = balance - tonumber(ARGV[index + 1])
        if after < floors[wallet] then
            result[#result + 1] = index - 1
            result[#result + 1] = 'r' .. balance
        else
            local answer = 'a' .. after
            if belows[wallet] == 0 and after < levels[wallet] then
                answer = answer .. '!'
                belows[wallet] = 1
                result[#result + 1] = index - 1
                result[#result + 1] = answer
            end
            call('SET', id, answer, 'EX', ttl)
            seen[id] = answer
            balances[wallet] = after
            applied = applied + 1
            local slot = slots[wallet]
            if not slot then
                slot = #written + 2
                slots[wallet] = slot
                written[slot - 1] = wallet
            end
            written[slot] = pack_wallet('<i8i8i8B', after, floors[wallet], levels[wallet], belows[wallet])
        end
    end
end
if applied > 0 then
    call('MSET', unpack(written))
end
result[1] = applied
return result
