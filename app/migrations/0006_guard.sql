-- works with: 5
-- A row of a slot that is not owned here is written by replication alone, whoever asks: a purge, a migration's backfill,
-- psql. While a move has both its streams open, such a write would be sent back over its owner's newer rows. The share
-- lock is the one that fence() takes: a fence waits for it as for any writer. The one exception is the mover's, which
-- removes a copy that is needed no more and says so in `hal9.clearing`.
CREATE FUNCTION refuse_foreign_slot() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    in_slot smallint := CASE WHEN TG_OP = 'DELETE' THEN OLD.slot ELSE NEW.slot END;
    found_state text;
    found_move uuid;
BEGIN
    SELECT state, move INTO found_state, found_move FROM slots WHERE slot = in_slot FOR SHARE;
    IF found_state = 'owned' AND (TG_OP <> 'UPDATE' OR OLD.slot = NEW.slot) THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    ELSIF TG_OP = 'DELETE' AND coalesce(found_state, 'moved') IN ('moved', 'incoming')
        AND coalesce(current_setting('hal9.clearing', true), '') <> '' THEN
        RETURN OLD;
    ELSIF found_state = 'fenced' THEN
        RAISE EXCEPTION 'slot % is fenced', in_slot USING ERRCODE = 'U9002';
    END IF;
    RAISE EXCEPTION 'slot % is % here, not owned: its rows change by replication alone',
        in_slot, coalesce(found_state, 'unknown') USING ERRCODE = 'U9001';
END $$;

CREATE TRIGGER owned_slots_alone BEFORE INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION refuse_foreign_slot();
CREATE TRIGGER owned_slots_alone BEFORE INSERT OR UPDATE OR DELETE ON items
    FOR EACH ROW EXECUTE FUNCTION refuse_foreign_slot();
CREATE TRIGGER owned_slots_alone BEFORE INSERT OR UPDATE OR DELETE ON idempotency_keys
    FOR EACH ROW EXECUTE FUNCTION refuse_foreign_slot();

-- Makes a move's stream on its receiver, at rest until it is enabled. A function, so that no statement with the connection's password is one that
-- `log_statement = ddl` logs or pg_stat_statements keeps; an error is raised anew, as the context of the first one has
-- the statement in it. What is left is the parameter itself: `log_parameter_max_length = 0` (components/database.py).
CREATE FUNCTION open_stream(named text, reach text, copying boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (create_slot = false, slot_name = %L, origin = none, '
        'enabled = false, copy_data = %s)', named, reach, named, named, CASE WHEN copying THEN 'true' ELSE 'false' END);
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION '%', replace(SQLERRM, reach, '...') USING ERRCODE = SQLSTATE;
END $$;

CREATE FUNCTION point_stream(named text, reach text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER SUBSCRIPTION %I CONNECTION %L', named, reach);
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION '%', replace(SQLERRM, reach, '...') USING ERRCODE = SQLSTATE;
END $$;

-- Connects as a stream would, and ends in an error whatever comes, so that nothing is left: U9008 where it got through.
CREATE FUNCTION try_stream(named text, reach text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (create_slot = false, slot_name = NONE, '
        'enabled = false, connect = true, copy_data = false)', named, reach, named);
    RAISE EXCEPTION 'reached' USING ERRCODE = 'U9008';
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION '%', replace(SQLERRM, reach, '...') USING ERRCODE = SQLSTATE;
END $$;
