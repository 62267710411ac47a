-- One event against one wallet, as drawdown debits it.
--
-- KEYS: event, wallet. ARGV: amount, seconds for which the event's identity is remembered.
-- Answers 'a<balance>' (applied), 'a<balance>!' (applied, and it crossed the level), 'd...' (duplicate: the first answer again) or
-- 'r<balance>' (rejected; the identity is not used up).
--
-- A wallet is one packed string: balance, floor, level, and whether the balance is below the level already. That is a GET and a SET;
-- a hash took twice as long.
local balance, floor, level, below = struct.unpack('<i8i8i8B', redis.call('GET', KEYS[2]))
local after = balance - tonumber(ARGV[1])
if after < floor then
    local first = redis.call('GET', KEYS[1])
    return first and 'd' .. first or 'r' .. balance
end
local answer = 'a' .. after
if below == 0 and after < level then
    answer = answer .. '!'
    below = 1
end
-- Sets the identity if it is new, and otherwise gives what it was set to: one call for both.
local first = redis.call('SET', KEYS[1], answer, 'NX', 'GET', 'EX', ARGV[2])
if first then
    return 'd' .. first
end
redis.call('SET', KEYS[2], struct.pack('<i8i8i8B', after, floor, level, below))
return answer
