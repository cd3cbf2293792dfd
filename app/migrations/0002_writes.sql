-- The fence, idempotency, and item writes in one round trip: a remote primary is 70-110 ms away, so a write that
-- took BEGIN, fence, statement, COMMIT and position apart would cost five times that.
-- SQLSTATEs (class U9, free for applications): U9001 wrong epoch or owner, U9002 fenced, U9003 no such user,
-- U9004 precondition failed, U9005 idempotency key used for another request.

-- Locks the slot's row until the transaction ends, so that a move's fence waits for this writer.
CREATE FUNCTION fence(wanted smallint, expected bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found_epoch bigint;
    found_state text;
BEGIN
    SELECT epoch, state INTO found_epoch, found_state FROM slots WHERE slot = wanted FOR SHARE;
    IF found_state = 'owned' AND found_epoch = expected THEN
        RETURN;
    ELSIF found_state = 'fenced' THEN
        RAISE EXCEPTION 'slot % is fenced', wanted USING ERRCODE = 'U9002';
    END IF;
    RAISE EXCEPTION 'slot % is % at epoch %, not owned at %',
        wanted, coalesce(found_state, 'unknown'), found_epoch, expected USING ERRCODE = 'U9001';
END $$;

-- Claims the key for this transaction: null when it is new, else the recorded result of its first use. Waits for
-- a first use that is still in flight.
CREATE FUNCTION claim(in_slot smallint, of_user uuid, claimed text, asked bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    first_asked bytea;
    first_result bytea;
BEGIN
    INSERT INTO idempotency_keys (slot, user_id, key, request, expires_at)
        VALUES (in_slot, of_user, claimed, asked, now() + interval '24 hours') ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT request, result INTO STRICT first_asked, first_result FROM idempotency_keys
        WHERE slot = in_slot AND user_id = of_user AND key = claimed;
    IF first_asked <> asked THEN
        RAISE EXCEPTION 'this idempotency key was used for another request' USING ERRCODE = 'U9005';
    END IF;
    RETURN first_result;
END $$;

CREATE PROCEDURE record_result(in_slot smallint, of_user uuid, claimed text, outcome bytea) LANGUAGE sql AS $$
    UPDATE idempotency_keys SET result = outcome WHERE slot = in_slot AND user_id = of_user AND key = claimed;
$$;

-- Raises U9004 unless `present` (null: no such item) is among `expected` (null: anything; 0: absent; -1: present).
CREATE PROCEDURE check_version(present bigint, expected bigint[]) LANGUAGE plpgsql AS $$
BEGIN
    IF expected IS NULL OR coalesce(present, 0) = ANY (expected) OR (present IS NOT NULL AND -1 = ANY (expected)) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'the item is at version %', coalesce(present, 0) USING ERRCODE = 'U9004';
END $$;

-- Versions grow by the clock, so that an item made anew never repeats a version an ETag still names.
CREATE FUNCTION next_version(after bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT greatest(coalesce(after, 0) + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
$$;

-- `lsn` is the WAL position after the commit: the floor of the user's next reads.
CREATE PROCEDURE put_item(
    in_slot smallint, at_epoch bigint, of_user uuid, named text, content bytea, media text, expected bigint[],
    claimed text, asked bytea, INOUT outcome bytea, INOUT replayed boolean, INOUT lsn pg_lsn
) LANGUAGE plpgsql AS $$
DECLARE
    found_version bigint;
    new_version bigint;
BEGIN
    PERFORM fence(in_slot, at_epoch);
    outcome := claim(in_slot, of_user, claimed, asked);
    replayed := outcome IS NOT NULL;
    IF NOT replayed THEN
        PERFORM FROM users WHERE slot = in_slot AND user_id = of_user;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no such user' USING ERRCODE = 'U9003';
        END IF;
        LOOP
            SELECT version INTO found_version FROM items
                WHERE slot = in_slot AND user_id = of_user AND key = named FOR UPDATE;
            CALL check_version(found_version, expected);
            new_version := next_version(found_version);
            IF found_version IS NULL THEN
                INSERT INTO items (slot, user_id, key, value, content_type, version)
                    VALUES (in_slot, of_user, named, content, media, new_version) ON CONFLICT DO NOTHING;
                EXIT WHEN FOUND;
            ELSE
                UPDATE items SET value = content, content_type = media, version = new_version, updated_at = now()
                    WHERE slot = in_slot AND user_id = of_user AND key = named;
                EXIT;
            END IF;
        END LOOP;
        outcome := convert_to(
            json_build_object('version', new_version, 'created', found_version IS NULL)::text, 'UTF8');
        CALL record_result(in_slot, of_user, claimed, outcome);
    END IF;
    COMMIT;
    lsn := pg_current_wal_lsn();
END $$;

CREATE PROCEDURE delete_item(
    in_slot smallint, at_epoch bigint, of_user uuid, named text, expected bigint[],
    claimed text, asked bytea, INOUT outcome bytea, INOUT replayed boolean, INOUT lsn pg_lsn
) LANGUAGE plpgsql AS $$
DECLARE
    found_version bigint;
BEGIN
    PERFORM fence(in_slot, at_epoch);
    outcome := claim(in_slot, of_user, claimed, asked);
    replayed := outcome IS NOT NULL;
    IF NOT replayed THEN
        SELECT version INTO found_version FROM items
            WHERE slot = in_slot AND user_id = of_user AND key = named FOR UPDATE;
        CALL check_version(found_version, expected);
        DELETE FROM items WHERE slot = in_slot AND user_id = of_user AND key = named;
        outcome := convert_to(json_build_object('deleted', found_version IS NOT NULL)::text, 'UTF8');
        CALL record_result(in_slot, of_user, claimed, outcome);
    END IF;
    COMMIT;
    lsn := pg_current_wal_lsn();
END $$;

-- Safe to repeat without a key of its own: the id is one.
CREATE PROCEDURE register_user(
    in_slot smallint, at_epoch bigint, of_user uuid, at_home text,
    INOUT home text, INOUT since timestamptz, INOUT lsn pg_lsn
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fence(in_slot, at_epoch);
    INSERT INTO users (slot, user_id, region) VALUES (in_slot, of_user, at_home) ON CONFLICT DO NOTHING;
    SELECT region, created_at INTO STRICT home, since FROM users WHERE slot = in_slot AND user_id = of_user;
    COMMIT;
    lsn := pg_current_wal_lsn();
END $$;
