-- A move's steps while users' writes wait, each in one round trip: its shards may be 220 ms apart, and the pause is to
-- stay under a second (app/reshard). SQLSTATE U9007: a slot's row does not say what the step needs; nothing was changed.

CREATE FUNCTION send_marker(by_move uuid) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO move_markers SELECT by_move, coalesce(max(m.number), 0) + 1 FROM move_markers m WHERE m.move = by_move
        RETURNING number;
$$;

-- Stops writes to the slots once those in flight have ended, and sends a marker behind them: whoever has the marker has
-- all that was written before. Fails after a quarter of a second of waiting for a writer (55P03): others queue behind it.
CREATE FUNCTION fence_slots(wanted smallint[], by_move uuid, to_peer integer, OUT marker bigint, OUT lsn pg_lsn)
LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE slots SET state = 'fenced', move = by_move, peer = to_peer, changed_at = clock_timestamp()
        WHERE slot = ANY (wanted) AND (state = 'owned' OR (state = 'fenced' AND move = by_move));
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(wanted) THEN
        RAISE EXCEPTION '% of % slots could be fenced', changed, cardinality(wanted) USING ERRCODE = 'U9007';
    END IF;
    marker := send_marker(by_move);
    lsn := pg_current_wal_lsn();
END $$;

-- Waits on the receiving side until a marker has arrived; whether it did in time.
CREATE FUNCTION await_marker(of_move uuid, wanted bigint, seconds double precision) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    LOOP
        PERFORM FROM move_markers WHERE move = of_move AND number = wanted;
        IF FOUND OR clock_timestamp() > give_up THEN
            RETURN FOUND;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$;

-- The hand-over: from here on the receiver is the owner. Fails where the move was revoked.
CREATE FUNCTION take_slots_over(wanted smallint[], by_move uuid, new_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE slots SET state = 'owned', epoch = new_epoch, changed_at = clock_timestamp()
        WHERE slot = ANY (wanted) AND state = 'incoming' AND move = by_move;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(wanted) THEN
        RAISE EXCEPTION 'the hand-over was revoked' USING ERRCODE = 'U9007';
    END IF;
END $$;
