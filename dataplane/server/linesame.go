package server

import (
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// sameText holds what is the same in one line after the other, and is put down in one
// go: calls that came at once are of one feed and of one moment. The zero value is ready.
type sameText struct {
	source   record.SourceKind
	instance []byte // a copy: what a call has is overwritten
	from     []byte // made of both

	versions int
	ingested time.Time
	updated  time.Time
	moment   []byte // made of these
	revision uint64
	rest     []byte // made of that
}

// origin writes where a call came from, up to its native id.
func (s *sameText) origin(b []byte, k *record.Key) []byte {
	if len(s.from) == 0 || k.Source != s.source || k.Instance != string(s.instance) {
		s.source, s.instance = record.SourceKind(append([]byte(nil), k.Source...)), append(s.instance[:0], k.Instance...)
		s.from = appendText(s.from[:0], &nameSource, string(k.Source))
		s.from = nameNative.put(appendText(s.from, &nameInstance, k.Instance), 0)
	}
	return append(b, s.from...)
}

// taken writes how often and when a call was taken in, up to when it is listed.
func (s *sameText) taken(b []byte, d *days, c *store.Call) []byte {
	if len(s.moment) == 0 || c.Versions != s.versions || c.IngestedAt != s.ingested || c.UpdatedAt != s.updated {
		s.versions, s.ingested, s.updated = c.Versions, c.IngestedAt, c.UpdatedAt
		m := appendNumber(nameVersions.put(s.moment[:0], numberRoom), int64(c.Versions))
		m = append(d.append(nameIngest.put(m, timeRoom), c.IngestedAt), '"')
		m = append(d.append(nameUpdate.put(m, timeRoom), c.UpdatedAt), '"')
		s.moment = nameList.put(m, 0)
	}
	return append(b, s.moment...)
}

// end writes what a line ends with.
func (s *sameText) end(b []byte, region string, revision uint64) []byte {
	if len(s.rest) == 0 || revision != s.revision {
		s.revision, s.rest = revision, appendText(s.rest[:0], &nameRegion, region)
		if revision != 0 {
			s.rest = appendUnsigned(nameRevision.put(s.rest, numberRoom), revision)
		}
		s.rest = append(s.rest, '}')
	}
	return append(b, s.rest...)
}
