-- sealed covers, each of several frames that were too small to stand alone
CREATE TABLE domicile_covers (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
