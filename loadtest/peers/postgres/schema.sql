-- Wallets, and the identities of events with what they were answered. Rows of wallets leave room in their page for the next version, so
-- that an update touches no index.
CREATE TABLE wallet (
    id text COLLATE "C" PRIMARY KEY,
    balance bigint NOT NULL,
    floor bigint NOT NULL,
    level bigint NOT NULL,
    crossed_by text COLLATE "C" -- the event that took the balance below the level; null above it
) WITH (fillfactor = 60, autovacuum_enabled = off);

CREATE TABLE event (
    id text COLLATE "C" PRIMARY KEY,
    wallet text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    crossed boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_enabled = off);

-- What became of an event. `status` is a(pplied), d(uplicate: balance and crossed as first answered) or r(ejected).
CREATE TYPE outcome AS (n integer, status "char", balance bigint, crossed boolean);

-- One event against one wallet, as drawdown debits it. An event that two sessions send at once fails in one of them by its primary key
-- (unique_violation) and is then sent again. This is quicker than ON CONFLICT, which would need the row locked first, for the answer that
-- is stored with the event is known after the update only.
CREATE FUNCTION debit(p_event text, p_wallet text, p_amount bigint) RETURNS outcome LANGUAGE plpgsql AS $$
DECLARE
    result outcome;
BEGIN
    SELECT 0, 'd', e.balance, e.crossed INTO result FROM event e WHERE e.id = p_event;
    IF FOUND THEN
        RETURN result;
    END IF;
    UPDATE wallet w
       SET balance = w.balance - p_amount,
           crossed_by = CASE WHEN w.crossed_by IS NULL AND w.balance - p_amount < w.level THEN p_event ELSE w.crossed_by END
     WHERE w.id = p_wallet AND w.balance - p_amount >= w.floor
    RETURNING 0, 'a', w.balance, w.crossed_by IS NOT DISTINCT FROM p_event INTO result;
    IF NOT FOUND THEN
        SELECT 0, 'r', w.balance, false INTO STRICT result FROM wallet w WHERE w.id = p_wallet;
        RETURN result;
    END IF;
    INSERT INTO event (id, wallet, amount, balance, crossed) VALUES (p_event, p_wallet, p_amount, result.balance, result.crossed);
    RETURN result;
END
$$;

-- Many events in one statement, one after the other: in the order of their wallets, so that sessions lock wallets in one order, and within
-- a wallet as sent. Answers what was not simply applied, by index from 0, as drawdown does under `Prefer: return=minimal`.
CREATE FUNCTION debit_loop(p_events text[], p_wallets text[], p_amounts bigint[]) RETURNS SETOF outcome LANGUAGE plpgsql AS $$
DECLARE
    result outcome;
    input record;
BEGIN
    FOR input IN
        SELECT i.event, i.wallet, i.amount, i.n
          FROM unnest(p_events, p_wallets, p_amounts) WITH ORDINALITY i (event, wallet, amount, n)
         ORDER BY i.wallet, i.n
    LOOP
        result := debit(input.event, input.wallet, input.amount);
        IF result.status <> 'a' OR result.crossed THEN
            result.n := input.n - 1;
            RETURN NEXT result;
        END IF;
    END LOOP;
END
$$;

-- The same by sets: each table is read and written once for the whole batch. What sets cannot express, a wallet that does not bear all of
-- its events or an event that comes twice in the batch, is left to the loop.
CREATE FUNCTION debit_set(p_events text[], p_wallets text[], p_amounts bigint[]) RETURNS SETOF outcome LANGUAGE plpgsql AS $$
DECLARE
    left_to_loop boolean;
    results outcome[];
BEGIN
    -- In one order, as in the loop. The next statement has a snapshot of its own and sees what the sessions before this one left.
    PERFORM FROM wallet w WHERE w.id = ANY (p_wallets) ORDER BY w.id FOR NO KEY UPDATE;

    WITH input AS MATERIALIZED (
        SELECT i.event, i.wallet, i.amount, i.n
          FROM unnest(p_events, p_wallets, p_amounts) WITH ORDINALITY i (event, wallet, amount, n)
    ), known AS MATERIALIZED (
        SELECT i.n, e.id, e.balance, e.crossed FROM input i JOIN event e ON e.id = i.event
    ), summed AS (
        SELECT i.*, w.ctid AS place, w.balance AS before, w.floor, w.level, w.crossed_by IS NULL AS armed,
               (sum(i.amount) OVER (PARTITION BY i.wallet ORDER BY i.n))::bigint AS taken
          FROM input i JOIN wallet w ON w.id = i.wallet
         WHERE NOT EXISTS (SELECT FROM known k WHERE k.n = i.n)
    ), planned AS MATERIALIZED (
        -- A wallet's first event has taken its own amount only, and so fires if the balance was below a level that had not fired.
        SELECT n, event, wallet, place, amount, before - taken AS balance, floor,
               armed AND before - taken < level AND (before - taken + amount >= level OR taken = amount) AS crossed
          FROM summed
    ), verdict AS MATERIALIZED (
        SELECT coalesce(bool_or(balance < floor), false) OR count(*) <> count(DISTINCT event) AS left_to_loop FROM planned
    ), stored AS (
        INSERT INTO event (id, wallet, amount, balance, crossed)
        SELECT event, wallet, amount, balance, crossed FROM planned WHERE NOT (SELECT v.left_to_loop FROM verdict v)
    ), debited AS (
        UPDATE wallet w
           SET balance = t.balance, crossed_by = coalesce(w.crossed_by, t.crossed_by)
          FROM (SELECT place, min(balance) AS balance, max(event) FILTER (WHERE crossed) AS crossed_by FROM planned GROUP BY place) t
         -- The rows are locked, so they stay where they are, and need not be looked up again.
         WHERE w.ctid = t.place AND NOT (SELECT v.left_to_loop FROM verdict v)
    )
    SELECT v.left_to_loop,
           ARRAY(SELECT ROW (k.n - 1, 'd', k.balance, k.crossed)::outcome FROM known k)
               || ARRAY(SELECT ROW (p.n - 1, 'a', p.balance, true)::outcome FROM planned p WHERE p.crossed)
      INTO left_to_loop, results
      FROM verdict v;

    IF left_to_loop THEN
        RETURN QUERY SELECT * FROM debit_loop(p_events, p_wallets, p_amounts);
    ELSE
        RETURN QUERY SELECT * FROM unnest(results) r ORDER BY r.n;
    END IF;
END
$$;
