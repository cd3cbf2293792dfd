-- After a replica was promoted: PostgreSQL counts promotions by its timeline, so a primary whose slots are of another
-- timeline than its own was promoted since, and takes no writes until somebody opens it. Opening gives its slots a new
-- epoch: a writer with the old map is refused here, one with the new map by the old primary, and read floors of
-- before, whose positions mean nothing on another timeline, send their reads to the primary (app/databases/primaries.py).
CREATE FUNCTION current_timeline() RETURNS text LANGUAGE sql AS $$
    SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8);
$$;

ALTER TABLE slots ADD COLUMN timeline text NOT NULL DEFAULT current_timeline();

CREATE OR REPLACE FUNCTION fence(wanted smallint, expected bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found_epoch bigint;
    found_state text;
    found_timeline text;
BEGIN
    SELECT epoch, state, timeline INTO found_epoch, found_state, found_timeline
        FROM slots WHERE slot = wanted FOR SHARE;
    IF found_timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN
        RAISE EXCEPTION 'this primary was promoted and is not open yet' USING ERRCODE = 'U9006';
    ELSIF found_state = 'owned' AND found_epoch = expected THEN
        RETURN;
    ELSIF found_state = 'fenced' THEN
        RAISE EXCEPTION 'slot % is fenced', wanted USING ERRCODE = 'U9002';
    END IF;
    RAISE EXCEPTION 'slot % is % at epoch %, not owned at %',
        wanted, coalesce(found_state, 'unknown'), found_epoch, expected USING ERRCODE = 'U9001';
END $$;

-- Safe to repeat and to race. A fenced slot keeps its epoch: its move is settled by whoever finds the fence stale, and
-- a hand-over's epoch (+1000, app/databases/ownership.py) outranks any number of promotions on the other side.
CREATE FUNCTION open_primary() RETURNS bigint LANGUAGE sql AS $$
    WITH opened AS (
        UPDATE slots SET epoch = epoch + (state = 'owned')::int, timeline = current_timeline()
        WHERE timeline <> current_timeline() RETURNING 1
    )
    SELECT count(*) FROM opened;
$$;

-- For a primary that came back after another was promoted: whoever still writes to it is refused. What it took after
-- the promotion is lost when it is rebuilt, so this waits for nobody.
CREATE FUNCTION close_primary() RETURNS bigint LANGUAGE sql AS $$
    WITH closed AS (
        UPDATE slots SET state = 'moved', changed_at = now() WHERE state <> 'moved' RETURNING 1
    )
    SELECT count(*) FROM closed;
$$;
