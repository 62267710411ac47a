-- What is gone from wallets that held ARGV[3] each: numbers ARGV[1] to ARGV[2]. As text, for a Lua number outgrows Redis' integers.
local gone = 0
for number = ARGV[1], ARGV[2] do
    gone = gone + ARGV[3] - struct.unpack('<i8', redis.call('GET', string.format('w%012d', number)))
end
return string.format('%.0f', gone)
