-- works with: 6
-- What the app's own role may do (app/databases/accounts.py): rows, and of the slots' states what a promotion needs. Tables
-- are its owner's alone. A migration that adds a table grants what the app needs of it.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hal9_app') THEN
        CREATE ROLE hal9_app NOLOGIN;
    END IF;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, items, idempotency_keys TO hal9_app;
GRANT SELECT, UPDATE ON slots TO hal9_app;
GRANT SELECT ON moves, move_markers, schema_migrations TO hal9_app;
