-- The functions do what the comparison says they do, the three alike. Any difference is an error, and all is rolled back.
BEGIN;
INSERT INTO wallet SELECT id, 20, 0, 10 FROM unnest(ARRAY['c1', 'c2', 'c3', 'c4', 'c5']) id;

CREATE FUNCTION pg_temp.expect(expected text, actual text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'a function of the comparison is wrong: expected %, got %', expected, actual;
    END IF;
END
$$;
CREATE FUNCTION pg_temp.one(event text, wallet text, amount bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT (d).status::text || (d).balance || CASE WHEN (d).crossed THEN '!' ELSE '' END FROM debit(event, wallet, amount) d $$;

SELECT pg_temp.expect('a14', pg_temp.one('one', 'c1', 6)), pg_temp.expect('a9!', pg_temp.one('two', 'c1', 5)),
       pg_temp.expect('d9!', pg_temp.one('two', 'c1', 5)), pg_temp.expect('a8', pg_temp.one('three', 'c1', 1)),
       pg_temp.expect('r8', pg_temp.one('four', 'c1', 9)), pg_temp.expect('a0', pg_temp.one('four', 'c1', 8)),
       pg_temp.expect('d14', pg_temp.one('one', 'c1', 6));

-- Several wallets, several events of one, a crossing, a duplicate of an earlier batch, and, in the second, one within the batch and a rejection.
CREATE FUNCTION pg_temp.many(kind text, prefix text, first text, second text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    batch text := format('SELECT string_agg(n || '' '' || status::text || balance || CASE WHEN crossed THEN ''!'' ELSE '''' END, '', '' ORDER BY n) FROM %I($1, $2, $3)', kind);
    total text;
BEGIN
    EXECUTE batch INTO result USING ARRAY[prefix || 1, prefix || 2, prefix || 3, prefix || 4], ARRAY[first, second, first, first],
        ARRAY[6, 1, 5, 1]::bigint[];
    total := result;
    EXECUTE batch INTO result USING ARRAY[prefix || 3, prefix || 5, prefix || 2], ARRAY[first, second, second], ARRAY[5, 2, 1]::bigint[];
    total := total || ' | ' || result;
    EXECUTE batch INTO result USING ARRAY[prefix || 6, prefix || 6, prefix || 7, prefix || 8], ARRAY[second, second, first, first],
        ARRAY[1, 1, 9, 8]::bigint[];
    total := total || ' | ' || result;
    SELECT total || ' | ' || string_agg(balance::text, ' ' ORDER BY id) INTO result FROM wallet WHERE id IN (first, second);
    RETURN result;
END
$$;
SELECT pg_temp.expect('2 a9! | 0 d9!, 2 d19 | 1 d16, 2 r8 | 0 16', pg_temp.many('debit_loop', 'l', 'c2', 'c3')),
       pg_temp.expect('2 a9! | 0 d9!, 2 d19 | 1 d16, 2 r8 | 0 16', pg_temp.many('debit_set', 's', 'c4', 'c5'));
ROLLBACK;
