-- The copies go with their table.
SELECT;
