\set n :n + 1
\set w random(1, :wallets)
SELECT debit('pgbench-' || (1000 + :client_id::int) || '-' || (1000000000000 + :n::bigint), 'w' || (100000000 + :w::int), 5)
