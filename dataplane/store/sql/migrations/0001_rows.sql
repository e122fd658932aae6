-- Rows are bytes under bytes, one table for each kind of row (dataplane/store/sealed/schema.go). A key is a tenant's 16
-- bytes, then the rest; rows that no tenant has begin their key with the rest. Values are sealed, keyed tags, ordinals or times.

-- the store's own rows
CREATE TABLE domicile_meta (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- entries that wait for the region's log
CREATE TABLE domicile_noted (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- the region's log
CREATE TABLE domicile_leaves (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- hashes of the log's tree
CREATE TABLE domicile_hashes (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- leaves of one tenant
CREATE TABLE domicile_tenant_leaves (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- where an entry went in the log
CREATE TABLE domicile_leaf_of (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- entries that are noted once
CREATE TABLE domicile_once (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- sealed frames of records
CREATE TABLE domicile_frames (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- calls, by keyed tags; generations of the index key take turns
CREATE TABLE domicile_folds0 (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
CREATE TABLE domicile_folds1 (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- events past those in a call's own row
CREATE TABLE domicile_events0 (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
CREATE TABLE domicile_events1 (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- calls in order of time
CREATE TABLE domicile_calls (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- calls of a subject in order of time
CREATE TABLE domicile_postings (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- subject ids, by keyed tags
CREATE TABLE domicile_subjects0 (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
CREATE TABLE domicile_subjects1 (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- sealed counters
CREATE TABLE domicile_rollups (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- sealed names of feeds
CREATE TABLE domicile_instances (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- sealed payloads
CREATE TABLE domicile_quarantine (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- sealed settings
CREATE TABLE domicile_feeds (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- keys that are still to be destroyed
CREATE TABLE domicile_doomed (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- dropped calls of which a key is not known and may live
CREATE TABLE domicile_undead (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- sealed items
CREATE TABLE domicile_items (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- items in order of time
CREATE TABLE domicile_item_times (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- items of a call
CREATE TABLE domicile_item_calls (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- items by their unique tag
CREATE TABLE domicile_item_uniques (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- what did not open
CREATE TABLE domicile_aside (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));
-- under which key a tenant's index is
CREATE TABLE domicile_indexes (tenant bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key));

-- a tenant's turns: whoever does something to it has its row of that kind locked; last, shape and writer are of kind 'w'
CREATE TABLE domicile_turns (tenant bytea NOT NULL, kind smallint NOT NULL, last bigint NOT NULL, shape bigint NOT NULL, writer bytea NOT NULL, PRIMARY KEY (tenant, kind));
