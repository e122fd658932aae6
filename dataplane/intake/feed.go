package intake

import (
	"context"
	"errors"
	"io"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// parser is one feed's way from a body to items.
type parser struct {
	Settings
	ctx   context.Context
	in    *splitter
	path  string
	yield func(Item) error
}

func feed(ctx context.Context, s Settings, path string, body io.Reader, yield func(Item) error) error {
	p := &parser{Settings: s, ctx: ctx, in: newSplitter(body), path: path, yield: yield}
	if path != "" && (s.Source != record.Kamailio || path != "acc" && path != "cdr") {
		return policy.Errorf(policy.NotFound, "the feed has no such path; Kamailio's are acc and cdr, the others have none")
	}
	run, ok := map[record.SourceKind]func() error{
		record.FreeSWITCH: p.freeswitch,
		record.Kamailio:   p.kamailio,
		record.Asterisk:   p.asterisk,
		record.Twilio:     p.twilio,
	}[s.Source]
	if !ok {
		return policy.Errorf(policy.NotFound, "there is no such source; the sources are freeswitch, kamailio, asterisk and twilio")
	}
	if !p.in.more() {
		if err := p.in.failed(); err != nil {
			return batchError(err)
		}
		return yield(Item{Err: ProblemEmpty, Raw: []byte{}, ContentType: "application/octet-stream"})
	}
	err := run()
	var own *yielded
	if errors.As(err, &own) {
		return own.err
	}
	return batchError(err)
}

// item yields a record, or what could not become one.
func (p *parser) item(r record.Record, raw []byte, contentType string, err error) error {
	it := Item{Raw: raw, ContentType: contentType}
	var problem Problem
	switch {
	case err == nil:
		it.Record = r
	case errors.As(err, &problem):
		it.Err = problem
	default:
		it.Err = ProblemJSON
	}
	return yieldError(p.yield, it)
}

// json yields every JSON object of the body through parse. An array that breaks
// off is no reason to lose its last element: the rest is quarantined.
func (p *parser) json(parse func(raw []byte) (record.Record, error)) error {
	err := eachJSON(p.ctx, p.in, func(raw []byte) error {
		r, err := parse(raw)
		return p.item(r, raw, typeJSON, err)
	})
	if errors.Is(err, errBroken) && p.in.failed() == nil {
		raw, err := p.in.rest(MaxItem)
		if err != nil {
			return err
		}
		return p.item(record.Record{}, raw, typeJSON, ProblemJSON)
	}
	return err
}

// whole reads a body that is one record, at most max bytes as sent.
func (p *parser) whole(max int) ([]byte, error) { return p.in.rest(max) }

// The types of what is kept: what the payload is, not what was declared.
const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
	typeCSV  = "text/csv"
)
