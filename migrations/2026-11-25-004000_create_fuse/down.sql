SET LOCAL lock_timeout = '400ms';

DROP TABLE fuse_row_counts;
DROP TABLE fuse_losses;
DROP TABLE fuse;
