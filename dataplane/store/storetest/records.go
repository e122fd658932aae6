package storetest

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
)

// Native is a whole-call record of the native source: call number n, answered,
// from an Irish caller, 90 s billed.
func Native(n int) record.Record {
	start := Epoch.Add(time.Duration(n) * time.Second)
	r := record.Record{
		Key:     record.Key{Source: record.Native, Instance: "api", NativeID: fmt.Sprintf("call-%d", n)},
		CallKey: fmt.Sprintf("call-%d", n), Primary: true,
		From:       record.Party{Raw: "0861234567", E164: "+353861234567", Country: "IE"},
		To:         record.Party{Raw: "015551234", E164: fmt.Sprintf("+3531555%04d", n%10000), Country: "IE"},
		CallerName: "Aoife Canary", Direction: record.Inbound, Status: record.Completed,
		Start: start, Answer: start.Add(5 * time.Second), End: start.Add(95 * time.Second),
		Duration: 95 * time.Second, Billsec: 90 * time.Second, SIPCode: 200,
		Native: []byte(fmt.Sprintf(`{"native_id":"call-%d","from":"+353861234567","caller_name":"Aoife Canary"}`, n)), NativeType: "application/json",
	}
	return Hashed(r)
}

// Hashed sets the content hash from the native payload, as most parsers do.
func Hashed(r record.Record) record.Record {
	r.ContentHash, r.HashOfBytes = sha256.Sum256(r.Native), true
	return r
}

// Acc is a Kamailio acc event of call n.
func Acc(n int, method string, code int, at time.Time) record.Record {
	id := fmt.Sprintf("%d-27232@127.0.0.1", n)
	r := record.Record{
		Key:     record.Key{Source: record.Kamailio, Instance: "edge", NativeID: id, Event: fmt.Sprintf("acc/%s/%d/a/b/%d", method, code, at.Unix())},
		CallKey: id, Primary: true, Start: at,
		From:       record.Party{Raw: "+353861234567", E164: "+353861234567", Country: "IE"},
		To:         record.Party{Raw: "1000"},
		NativeType: "application/json",
		Native:     []byte(fmt.Sprintf(`{"method":%q,"callid":%q,"sip_code":"%d","time":%d}`, method, id, code, at.Unix())),
	}
	if method == "INVITE" {
		r.SIPCode, r.Status = code, record.Completed
		if code >= 300 {
			r.Status = record.Failed
		}
		if code == 486 {
			r.Status = record.Busy
		}
	}
	return Hashed(r)
}

// CDR is a Kamailio cdr event of call n.
func CDR(n int, start time.Time, d time.Duration) record.Record {
	id := fmt.Sprintf("%d-27232@127.0.0.1", n)
	return Hashed(record.Record{
		Key:     record.Key{Source: record.Kamailio, Instance: "edge", NativeID: id, Event: "cdr"},
		CallKey: id, Primary: true, Start: start, Answer: start, End: start.Add(d), Duration: d, Billsec: d,
		From: record.Party{Raw: "+353861234567", E164: "+353861234567", Country: "IE"}, STIR: record.STIR{Attest: "A"},
		Native: []byte(fmt.Sprintf(`{"ci":%q,"duration":"%v","start":"%v"}`, id, d, start)), NativeType: "application/json",
	})
}

// Callback is a Twilio status callback of call n.
func Callback(n int, sequence int64, status record.Status) record.Record {
	id := fmt.Sprintf("CA%032x", n)
	return Hashed(record.Record{
		Key:     record.Key{Source: record.Twilio, Instance: "main", NativeID: id, Event: fmt.Sprint(sequence)},
		CallKey: id, Primary: true, Sequence: sequence, Status: status, Direction: record.Inbound,
		Start:  Epoch.Add(time.Duration(sequence) * time.Second),
		From:   record.Party{Raw: "+353861234567", E164: "+353861234567", Country: "IE"},
		Native: []byte(fmt.Sprintf("CallSid=%s&SequenceNumber=%d&CallStatus=%s", id, sequence, status)), NativeType: "application/x-www-form-urlencoded",
	})
}
