-- Why a fix was asked for, in the words of who asked; shown to the operator beside the exact request.
ALTER TABLE autofix ADD COLUMN reason TEXT NOT NULL DEFAULT '';
-- The watched target whose incident it is (the caps of 24 h count by it).
ALTER TABLE autofix ADD COLUMN target_id TEXT NOT NULL DEFAULT '';
