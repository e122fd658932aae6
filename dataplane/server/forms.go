package server

import (
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// callForm is the JSON form of a call.
func callForm(c *store.Call, region string, revision uint64) data.Call {
	r := &c.Record
	out := data.Call{
		ID: c.ID, Source: string(r.Key.Source), Instance: r.Key.Instance, NativeID: r.Key.NativeID, Leg: r.Key.Leg,
		From: partyForm(r.From), To: partyForm(r.To), CallerName: r.CallerName,
		Direction: string(r.Direction), Status: string(r.Status),
		StartTime: instantForm(r.Start), RingTime: instantForm(r.Ring), AnswerTime: instantForm(r.Answer), EndTime: instantForm(r.End),
		DurationMS: r.Duration.Milliseconds(), BillsecMS: r.Billsec.Milliseconds(),
		SIPCode: r.SIPCode, Q850Cause: r.Q850, RecordingRefs: r.RecordingRefs, ConsentRef: r.ConsentRef,
		Versions: c.Versions, IngestTime: c.IngestedAt.UTC(), UpdateTime: c.UpdatedAt.UTC(), ListTime: c.ListedAt.UTC(),
		Region: region, Revision: revision,
	}
	if r.STIR != (record.STIR{}) {
		out.STIR = &data.STIR{Attest: r.STIR.Attest, OrigID: r.STIR.OrigID, Verstat: r.STIR.Verstat, SPC: r.STIR.SPC}
	}
	if r.AssumedZone {
		out.Assumed = append(out.Assumed, "time_zone")
	}
	if r.AssumedCountry {
		out.Assumed = append(out.Assumed, "country")
	}
	return out
}

func partyForm(p record.Party) data.Party {
	return data.Party{Raw: p.Raw, E164: p.E164, Country: p.Country, SubjectID: p.Subject}
}

func instantForm(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// rollupForm adds the ratios to a row of counters.
func rollupForm(r store.Rollup) data.Rollup {
	out := data.Rollup{Day: r.Day, Direction: string(r.Direction), Country: r.Country,
		Calls: r.Calls, Answered: r.Answered, Minutes: float64(r.Billsec) / 60}
	if r.Calls > 0 {
		out.AnswerSeizure = float64(r.Answered) / float64(r.Calls)
	}
	if r.Answered > 0 {
		out.AverageDuration = float64(r.Billsec) / float64(r.Answered)
	}
	return out
}

func quarantinedForm(q store.Quarantined) data.Quarantined {
	return data.Quarantined{ID: q.ID, Source: string(q.Source), Instance: q.Instance, Problem: q.Problem,
		ReceiveTime: q.ReceivedAt.UTC(), ContentType: q.ContentType, Payload: q.Payload}
}
