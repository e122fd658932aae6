package telemetry

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// Name is what a span is of, of a closed list.
type Name string

// The names.
const (
	Request Name = "request" // of a tenant, from its headers to the end of its answer
	Admit   Name = "admit"   // host, credential, permission: all from the headers
	Append  Name = "append"  // until records are durable
	Retain  Name = "retain"  // one pass of retention
)

var names = set([]string{string(Request), string(Admit), string(Append), string(Retain)})

// Keys of attributes. Those that OpenTelemetry's conventions name are theirs.
const (
	routeKey   = attribute.Key("http.route")
	statusKey  = attribute.Key("http.response.status_code")
	reasonKey  = attribute.Key("domicile.reason")
	sourceKey  = attribute.Key("domicile.source")
	recordsKey = attribute.Key("domicile.records")
	serviceKey = attribute.Key("service.name")
	regionKey  = attribute.Key("domicile.region")
)

// maxCount bounds a count, so that it can hold no number of a telephone.
const maxCount = 10_000_000

// words says of each key which values it may have.
func (o Options) words() map[attribute.Key]func(attribute.Value) bool {
	routes := set(o.Routes)
	sources := set([]string{string(record.FreeSWITCH), string(record.Kamailio), string(record.Asterisk), string(record.Twilio), string(record.Native)})
	one := func(of map[string]bool) func(attribute.Value) bool {
		return func(v attribute.Value) bool { return v.Type() == attribute.STRING && of[v.AsString()] }
	}
	known := func(v attribute.Value) bool {
		return v.Type() == attribute.STRING && api.Known(policy.Reason(v.AsString()))
	}
	within := func(least, most int64) func(attribute.Value) bool {
		return func(v attribute.Value) bool {
			return v.Type() == attribute.INT64 && v.AsInt64() >= least && v.AsInt64() <= most
		}
	}
	return map[attribute.Key]func(attribute.Value) bool{
		routeKey: one(routes), reasonKey: known, sourceKey: one(sources), statusKey: within(100, 599), recordsKey: within(0, maxCount),
		serviceKey: one(set([]string{service})), regionKey: one(set([]string{string(o.Region)})),
	}
}

func set(of []string) map[string]bool {
	out := make(map[string]bool, len(of))
	for _, s := range of {
		out[s] = true
	}
	return out
}
