\set n :n + :size
SELECT count(*) FROM debit_loop(
    ARRAY(SELECT 'pgbench-' || (1000 + :client_id::int) || '-' || i FROM generate_series(1000000000001 + :n::bigint - :size::int, 1000000000000 + :n::bigint) i),
    ARRAY(SELECT 'w' || (100000001 + floor(random() * :wallets::int)::int) FROM generate_series(1, :size::int)),
    array_fill(5::bigint, ARRAY[:size::int]))
