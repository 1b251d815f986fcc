-- A form of the operator pages acts once, however often it is sent (double click, Back). Kept for a day.
CREATE TABLE form_use (
  key TEXT PRIMARY KEY, -- hash of the form's key, its address and its fields
  used_at INTEGER NOT NULL
) WITHOUT ROWID;
