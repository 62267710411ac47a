-- Makes wallets. ARGV: first and last number, balance, floor, level. Names are what redis-benchmark makes of `w__rand_int__`.
for number = ARGV[1], ARGV[2] do
    redis.call('SET', string.format('w%012d', number), struct.pack('<i8i8i8B', ARGV[3], ARGV[4], ARGV[5], 0))
end
