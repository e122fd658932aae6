package sql

// tables are the tables of rows, by the first byte of their keys (sealed.Kinds).
var tables = map[byte]string{
	'm': "domicile_meta",
	'n': "domicile_noted",
	'a': "domicile_leaves",
	'h': "domicile_hashes",
	'v': "domicile_tenant_leaves",
	'w': "domicile_leaf_of",
	'b': "domicile_once",
	'k': "domicile_frames",
	'j': "domicile_covers",
	'f': "domicile_folds0",
	'F': "domicile_folds1",
	'd': "domicile_events0",
	'D': "domicile_events1",
	't': "domicile_calls",
	'p': "domicile_postings",
	's': "domicile_subjects0",
	'S': "domicile_subjects1",
	'r': "domicile_rollups",
	'i': "domicile_instances",
	'q': "domicile_quarantine",
	'e': "domicile_feeds",
	'z': "domicile_doomed",
	'g': "domicile_undead",
	'o': "domicile_items",
	'l': "domicile_item_times",
	'c': "domicile_item_calls",
	'u': "domicile_item_uniques",
	'y': "domicile_aside",
	'x': "domicile_indexes",
}

const turnsTable = "domicile_turns"

// A row's key is the kind, then what stands in two columns: the tenant's 16
// bytes, or what there is of them, and the rest.
const tenantSize = 16

func split(key []byte) (tenant, rest []byte) {
	if len(key) <= 1+tenantSize {
		return key[1:], nil
	}
	return key[1 : 1+tenantSize], key[1+tenantSize:]
}
