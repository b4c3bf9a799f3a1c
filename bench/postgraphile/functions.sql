-- What PostGraphile's users write in SQL: a computed field, and a mutation of their own.

CREATE OR REPLACE FUNCTION licenses_status(license licenses) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN license.revoked_at IS NOT NULL THEN 'REVOKED'
        WHEN license.expires_at::timestamptz <= now() THEN 'EXPIRED'
        ELSE 'ACTIVE'
    END
$$;

CREATE OR REPLACE FUNCTION get_or_create_customer(
    app_slug text, email text, OUT customer customers, OUT created boolean
) LANGUAGE plpgsql AS $$
DECLARE
    owner_id text;
    now_text text := to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
BEGIN
    SELECT id INTO owner_id FROM apps WHERE slug = app_slug;
    INSERT INTO customers AS c (id, app_id, email, email_folded, metadata, created_at, updated_at)
    VALUES ('cus_' || uuidv7(), owner_id, get_or_create_customer.email, lower(get_or_create_customer.email), '{}', now_text, now_text)
    ON CONFLICT (app_id, email_folded) DO NOTHING
    RETURNING c.* INTO customer;
    created := FOUND;
    IF NOT created THEN
        SELECT c.* INTO customer FROM customers AS c
        WHERE c.app_id = owner_id AND c.email_folded = lower(get_or_create_customer.email);
    END IF;
END
$$;
