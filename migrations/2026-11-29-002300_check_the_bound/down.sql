-- What was checked stays so.
SELECT;
