-- How many items a user may have: without an end to them one account can fill its shard for all who live there.
-- SQLSTATE U9008: the user has as many items as they may.

-- As put_item, for a user who may have `most` items. A replay is answered whatever there is by now.
CREATE PROCEDURE put_item_within(
    in_slot smallint, at_epoch bigint, of_user uuid, named text, content bytea, media text, expected bigint[],
    claimed text, asked bytea, most integer, INOUT outcome bytea, INOUT replayed boolean, INOUT lsn pg_lsn
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM items WHERE slot = in_slot AND user_id = of_user AND key = named;
    IF NOT FOUND THEN
        PERFORM FROM idempotency_keys WHERE slot = in_slot AND user_id = of_user AND key = claimed;
        IF NOT FOUND THEN
            -- The fence first, as everywhere; then the user's row, so that of two new items one is counted first.
            PERFORM fence(in_slot, at_epoch);
            PERFORM FROM users WHERE slot = in_slot AND user_id = of_user FOR NO KEY UPDATE;
            IF (SELECT count(*) FROM (
                SELECT FROM items WHERE slot = in_slot AND user_id = of_user AND key <> named LIMIT most) AS others) >= most
            THEN
                RAISE EXCEPTION 'the user has % items', most USING ERRCODE = 'U9008';
            END IF;
        END IF;
    END IF;
    CALL put_item(in_slot, at_epoch, of_user, named, content, media, expected, claimed, asked, outcome, replayed, lsn);
END $$;
