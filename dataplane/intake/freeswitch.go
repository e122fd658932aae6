package intake

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/dataplane/record"
)

// FreeSWITCH's mod_json_cdr posts one leg at its end, as raw JSON, or as
// "cdr=" and percent-encoded or base64 JSON; its spool files hold the same
// without "cdr=". With disable-100-continue the content type is wrong. Encoded
// JSON may be three times as long as itself.
const maxEncoded = 3*MaxItem + 4

func (p *parser) freeswitch() error {
	switch p.in.peek() {
	case '[':
		return p.json(p.freeswitchRecord)
	case '{':
		if p.in.object() > 0 {
			return p.json(p.freeswitchRecord)
		}
		// Broken over several lines, it stays one item: repairable as one.
		raw, err := p.whole(MaxItem)
		if err != nil {
			return err
		}
		return p.item(record.Record{}, raw, typeJSON, ProblemJSON)
	}
	body, err := p.whole(maxEncoded)
	if err != nil {
		return err
	}
	raw, err := unwrap(body)
	if err != nil {
		return p.item(record.Record{}, body, typeForm, err)
	}
	if len(raw) > MaxItem {
		return errItemTooLong
	}
	r, err := p.freeswitchRecord(raw)
	if err != nil {
		return p.item(r, body, typeForm, err)
	}
	return p.item(r, raw, typeJSON, nil)
}

// fsProfile is one entry of callflow.
type fsProfile struct {
	index                 int
	caller, name, dialled string
	uuid                  string
	originator            bool
	created, progress     string
	answered, hangup      string
}

// fsRecord is what the canonical record needs of a FreeSWITCH CDR.
type fsRecord struct {
	vars     map[string]string
	names    []string // of vars, in order
	channel  string   // direction in channel_data
	profiles []fsProfile
}

func (p *parser) freeswitchRecord(raw []byte) (record.Record, error) {
	raw = trimmed(raw)
	f := fsRecord{vars: map[string]string{}}
	if err := parseObject(string(raw), f.field); err != nil {
		return record.Record{}, err
	}
	if err := f.decode(); err != nil {
		return record.Record{}, err
	}
	r, err := f.record(&p.Settings)
	if err != nil {
		return record.Record{}, err
	}
	p.seal(&r, raw, typeJSON)
	return r, nil
}

func (f *fsRecord) field(c *cursor, key string) error {
	switch {
	case key == "variables" && c.next() == '{':
		return c.object(f.variable)
	case key == "channel_data" && c.next() == '{':
		return c.object(func(c *cursor, key string) error {
			if key == "direction" {
				return c.leaf(&f.channel)
			}
			return c.skip()
		})
	case key == "callflow" && c.next() == '{':
		return f.profile(c)
	case key == "callflow" && c.next() == '[':
		return c.array(func(c *cursor) error {
			if c.next() != '{' {
				return c.skip()
			}
			return f.profile(c)
		})
	}
	return c.skip()
}

// leaf reads a scalar into dst, as text; another value is skipped.
func (c *cursor) leaf(dst *string) error {
	if !simple(c) {
		return c.skip()
	}
	text, _, err := c.scalar()
	if err == nil {
		*dst = text
	}
	return err
}

func (f *fsRecord) variable(c *cursor, key string) error {
	var value string
	if err := c.leaf(&value); err != nil {
		return err
	}
	if _, twice := f.vars[key]; !twice {
		f.names = append(f.names, key)
	}
	f.vars[key] = value
	return nil
}

// profile reads one entry of callflow. An older core repeats the key for each
// caller profile, the newest first, a newer core writes a list: the index says
// which is which, never the place.
func (f *fsRecord) profile(c *cursor) error {
	var pr fsProfile
	var index string
	err := c.object(func(c *cursor, key string) error {
		switch {
		case key == "profile_index":
			return c.leaf(&index)
		case key == "caller_profile" && c.next() == '{':
			return c.object(pr.callerProfile)
		case key == "times" && c.next() == '{':
			return c.object(pr.times)
		}
		return c.skip()
	})
	pr.index, _ = strconv.Atoi(index)
	f.profiles = append(f.profiles, pr)
	return err
}

func (p *fsProfile) callerProfile(c *cursor, key string) error {
	switch key {
	case "caller_id_name":
		return c.leaf(&p.name)
	case "caller_id_number":
		return c.leaf(&p.caller)
	case "destination_number":
		return c.leaf(&p.dialled)
	case "uuid":
		return c.leaf(&p.uuid)
	case "originator":
		p.originator = c.next() == '{' || c.next() == '['
	}
	return c.skip()
}

func (p *fsProfile) times(c *cursor, key string) error {
	switch key {
	case "created_time":
		return c.leaf(&p.created)
	case "progress_time":
		return c.leaf(&p.progress)
	case "answered_time":
		return c.leaf(&p.answered)
	case "hangup_time":
		return c.leaf(&p.hangup)
	}
	return c.skip()
}

// decode undoes encode-values, once. It is on by default and is not announced;
// it never leaves these characters bare, so one of them says that it is off.
func (f *fsRecord) decode() error {
	for _, v := range f.vars {
		if strings.ContainsAny(v, "+<>\"@") || !escapesFit(v) {
			return nil
		}
	}
	for name, v := range f.vars {
		if strings.Contains(v, "%") {
			text, err := url.PathUnescape(v)
			if err != nil {
				return ProblemEscape
			}
			f.vars[name] = strings.ToValidUTF8(text, "\uFFFD")
		}
	}
	return nil
}

func escapesFit(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i+2 >= len(s) || hexDigit(s[i+1]) < 0 || hexDigit(s[i+2]) < 0 {
				return false
			}
			i += 2
		}
	}
	return true
}

func (f *fsRecord) record(s *Settings) (record.Record, error) {
	r := record.Record{Primary: true}
	slices.SortStableFunc(f.profiles, func(a, b fsProfile) int { return a.index - b.index })
	var oldest, newest fsProfile
	if n := len(f.profiles); n > 0 {
		oldest, newest = f.profiles[0], f.profiles[n-1]
	}
	id := strings.TrimPrefix(first(f.vars["uuid"], newest.uuid, oldest.uuid), "a_")
	if id == "" || len(id) > maxID {
		return r, ProblemNoID
	}
	r.Key = record.Key{Source: s.Source, Instance: s.Instance, NativeID: id, Leg: "a"}
	r.CallKey = id
	if f.vars["originating_leg_uuid"] != "" || f.vars["originator"] != "" || newest.originator || oldest.originator {
		r.Key.Leg, r.Primary = "b", false
	}
	// The oldest profile holds what the caller asked for; a transfer's target is
	// a new profile, and usually an extension.
	s.parties(&r, first(oldest.caller, f.vars["caller_id_number"], f.vars["sip_from_user"]),
		first(oldest.dialled, f.vars["destination_number"], f.vars["sip_to_user"]))
	if name := first(oldest.name, newest.name); name != r.From.Raw && r.From.Raw != "" {
		r.CallerName = clip(name)
	}
	switch first(f.vars["direction"], f.channel) {
	case "inbound":
		r.Direction = record.Inbound
	case "outbound":
		r.Direction = record.Outbound
	}
	if err := f.times(&r, oldest, newest); err != nil {
		return r, err
	}
	f.outcome(&r)
	return r, nil
}

// first is the first that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// clip bounds a text that a source does not bound, at a rune.
func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "")
}
