package server

import (
	"maps"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// The causes of violations that a node reports of its own region: a closed list,
// because what a node says is state.
const (
	causeBucketLocation    = "BUCKET_LOCATION"    // its bucket is elsewhere
	causeBucketReplication = "BUCKET_REPLICATION" // its bucket is copied
	causeBucketKey         = "BUCKET_KEY"         // its bucket is not encrypted under a key of the region
	causeCanary            = "CANARY_NOT_REFUSED" // it did not refuse what belongs to another region
	causeCorrupt           = "CORRUPT_VALUES"     // some of what it stores is not what was written
)

// findingCategory is "" for what is not of the list.
func findingCategory(cause string) string {
	switch cause {
	case causeBucketLocation, causeBucketReplication, causeCanary:
		return "LOCATION"
	case causeBucketKey, causeCorrupt:
		return "ENCRYPTION" // of the closed list the one about what seals guard
	}
	return ""
}

// foundBy turns what one node's stream says that it finds into violations of
// that node.
type foundBy struct {
	hub  *hub
	node string
	last map[string]string // category to cause, of the last acknowledgement
	told bool              // there was one
}

func (b *foundBy) ack(a *controlv1.Ack) {
	now := map[string]string{}
	for _, f := range a.GetFindings() {
		category := findingCategory(f.GetCause())
		if _, ok := now[category]; category != "" && !ok {
			now[category] = f.GetCause()
		}
	}
	if b.told && maps.Equal(now, b.last) {
		return
	}
	for _, category := range []string{"LOCATION", "ENCRYPTION"} {
		_, was := b.last[category]
		cause, is := now[category]
		switch {
		case is:
			b.hub.recorder.see(sighting{category: category, cause: cause, resource: b.node, revision: a.GetRevision()})
		case was || !b.told:
			b.hub.recorder.resolve(category, b.node)
		}
	}
	b.last, b.told = now, true
}
