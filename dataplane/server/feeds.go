package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

var (
	feedName       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)
)

// feedKey names one tenant's feed.
type feedKey struct {
	tenant policy.TenantID
	source record.SourceKind
	name   string
}

// feedSettings is a feed's settings, with its time zone loaded.
type feedSettings struct {
	store.Feed
	location *time.Location
}

// feedAddress reads and checks the path of a feed. What cannot be a feed is absent.
func (x *exchange) feedAddress() (origin, error) {
	from := origin{source: record.SourceKind(x.r.PathValue("source")), instance: x.r.PathValue("name"), path: x.r.PathValue("part")}
	known := false
	switch from.source {
	case record.FreeSWITCH, record.Asterisk, record.Twilio:
		known = from.path == ""
	case record.Kamailio:
		known = from.path == "" || from.path == "acc" || from.path == "cdr"
	}
	if !known {
		return from, policy.Errorf(policy.NotFound, "there is no such feed; the sources are freeswitch, kamailio (also /acc and /cdr), asterisk and twilio")
	}
	if !feedName.MatchString(from.instance) {
		return from, invalid([]policy.FieldError{{Field: "name", Message: "must match " + feedName.String()}})
	}
	return from, nil
}

// feed takes what a source emits. Sources throw away what is refused, so
// whatever arrives whole is acknowledged: parsed, or quarantined. The query is
// the source's own (FreeSWITCH appends ?uuid= to whatever URL it was given).
func (x *exchange) feed() error {
	from, err := x.feedAddress()
	if err != nil {
		return err
	}
	if _, err := x.permit(policy.Ingest, policy.CallRecord); err != nil {
		return err // before the body is asked for
	}
	settings, err := x.settingsOf(x.r.Context(), from)
	if err != nil {
		return err
	}
	body, err := x.body(maxBatchBody)
	if err != nil {
		return err
	}
	defer body.Close()
	var in io.Reader = body
	if settings.SignatureSecret != "" {
		if in, err = x.signed(body, settings.Feed); err != nil {
			return err
		}
	}
	t, err := x.ingest(from, func(yield func(intake.Item) error) error {
		return intake.Feed(x.r.Context(), x.s.intakeSettings(settings), from.path, x.r.Header.Get("Content-Type"), in, yield)
	})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, t.form())
}

// settingsOf finds a feed's settings; a feed that nobody has set up has the
// defaults, and so has one whose settings the policy does not let us read: the
// record is worth more than its time zone, and says `assumed`. A refusal is not
// cached, so that settings count again as soon as the policy allows it.
func (x *exchange) settingsOf(ctx context.Context, from origin) (feedSettings, error) {
	key := feedKey{tenant: x.who.Tenant, source: from.source, name: from.instance}
	if f, ok := x.s.feeds.Get(key); ok {
		return f, nil
	}
	permit, err := x.permit(readSettings.op, readSettings.class)
	if err != nil {
		x.s.metrics.settingsDenied.Inc()
		return feedSettings{Feed: store.Feed{Source: from.source, Name: from.instance}, location: time.UTC}, nil
	}
	f, err := x.s.o.Store.Feed(ctx, permit, from.source, from.instance)
	if err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return feedSettings{}, err
	}
	f.Source, f.Name = from.source, from.instance // also of a feed that nobody has set up
	set := feedSettings{Feed: f, location: time.UTC}
	if f.TimeZone != "" {
		if set.location, err = time.LoadLocation(f.TimeZone); err != nil {
			return feedSettings{}, err // it was loaded when it was set
		}
	}
	x.s.feeds.Add(key, set)
	return set, nil
}

func (s *Server) intakeSettings(f feedSettings) intake.Settings {
	out := intake.Settings{Source: f.Source, Instance: f.Name, Location: f.location, DefaultCountry: f.DefaultCountry,
		AssumedZone: f.TimeZone == "", AssumedCountry: f.DefaultCountry == "", Numbers: s.numbers}
	if out.AssumedCountry {
		out.DefaultCountry = s.o.DefaultCountry
	}
	return out
}

// feedSettings answers a feed's settings, never its secret.
func (x *exchange) feedSettings() error {
	from, err := x.plainFeed()
	if err != nil {
		return err
	}
	permit, err := x.permit(readSettings.op, readSettings.class)
	if err != nil {
		return err
	}
	f, err := x.s.o.Store.Feed(x.r.Context(), permit, from.source, from.instance)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, settingsForm(f))
}

func settingsForm(f store.Feed) data.FeedSettings {
	return data.FeedSettings{TimeZone: f.TimeZone, DefaultCountry: f.DefaultCountry, SignatureURL: f.SignatureURL}
}

// plainFeed is the address of a feed on a path that takes no parameters.
func (x *exchange) plainFeed() (origin, error) {
	if err := newParams(x.r.URL).done(); err != nil {
		return origin{}, err
	}
	return x.feedAddress()
}

// putFeedSettings replaces a feed's settings. Without a signature_secret the
// feed has none from then on.
func (x *exchange) putFeedSettings() error {
	from, err := x.plainFeed()
	if err != nil {
		return err
	}
	var in data.FeedSettings
	if err := x.decode(&in); err != nil {
		return err
	}
	if err := checkSettings(from, in); err != nil {
		return err
	}
	permit, err := x.permit(writeSettings.op, writeSettings.class)
	if err != nil {
		return err
	}
	f := store.Feed{Source: from.source, Name: from.instance, TimeZone: in.TimeZone, DefaultCountry: in.DefaultCountry,
		SignatureSecret: in.SignatureSecret, SignatureURL: in.SignatureURL}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	err = x.s.o.Store.PutFeed(ctx, permit, f)
	x.s.feeds.Remove(feedKey{tenant: x.who.Tenant, source: from.source, name: from.instance})
	if err != nil {
		return err
	}
	if err := x.stillHome(permit); err != nil {
		return err
	}
	return x.answer(http.StatusOK, settingsForm(f))
}
