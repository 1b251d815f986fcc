-- The way of an answer back to who asked. A send is counted before it leaves, so a crash is seen as "may have been sent".
ALTER TABLE ask ADD COLUMN thread TEXT;                        -- where the answer goes: channel:ts of Slack, Message-ID of a mail
ALTER TABLE ask ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0; -- runs that tried to answer
ALTER TABLE ask ADD COLUMN sends INTEGER NOT NULL DEFAULT 0;    -- sends that went out or may have
ALTER TABLE ask ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;    -- sends begun, refused ones included
ALTER TABLE ask ADD COLUMN send_error TEXT;
CREATE INDEX ask_unsent ON ask (answered_at) WHERE sent_at IS NULL AND thread IS NOT NULL;
