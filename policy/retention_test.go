package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestINV21_NothingIsKeptLongerThanItsCall(t *testing.T) {
	type kept map[DataClass]time.Duration
	for _, c := range []struct {
		call, recording, transcript Seconds
		want                        kept
	}{
		{3600, 0, 60, kept{CallRecord: time.Hour, Recording: time.Hour, Transcript: time.Minute}},
		{3600, 3601, 3600, kept{Recording: time.Hour, Transcript: time.Hour}},
		{0, 7200, 0, kept{CallRecord: 0, Recording: 2 * time.Hour, Transcript: 0, Derived: 0, 0: 0, numDataClasses: 0}},
		{60, 0, 0, kept{Derived: 0, BillingUsage: 0}},
	} {
		p := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
		p.Classes[CallRecord] = ClassRule{Mode: Sealed, Retention: c.call}
		p.Classes[Recording] = ClassRule{Mode: Sealed, Retention: c.recording}
		p.Classes[Transcript] = ClassRule{Mode: Sealed, Retention: c.transcript}
		r := Compile(&p, TenantActive)
		for class, want := range c.want {
			if got := r.Retention(class); got != want {
				t.Errorf("with %+v, %v is kept %s, want %s", c, class, got, want)
			}
		}
	}
}

func TestINV21_APolicyMayKeepNothingLongerThanItsCall(t *testing.T) {
	with := func(call, recording, transcript Seconds) *ResidencyPolicy {
		p := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
		p.Classes[CallRecord] = ClassRule{Mode: Sealed, Retention: call}
		p.Classes[Recording] = ClassRule{Mode: Sealed, Retention: recording}
		p.Classes[Transcript] = ClassRule{Mode: Sealed, Retention: transcript}
		return &p
	}
	for _, c := range []struct {
		p, before *ResidencyPolicy
		want      []string
	}{
		{with(0, 0, 0), nil, nil},
		{with(0, 60, MaxRetention), nil, nil},
		{with(60, 60, 1), nil, nil},
		{with(60, 61, 0), nil, []string{"classes.recording.retention", "classes.transcript.retention"}},
		{with(60, 61, 0), with(60, 60, 60), []string{"classes.recording.retention", "classes.transcript.retention"}},
		{with(60, 61, 0), with(61, 61, 0), []string{"classes.recording.retention", "classes.transcript.retention"}},
		{with(60, 61, 0), with(60, 61, 60), []string{"classes.transcript.retention"}},
		{with(60, 61, 0), with(60, 61, 0), nil},
	} {
		var got []string
		for _, f := range c.p.Outlasting(c.before) {
			got = append(got, f.Field)
			if !strings.Contains(f.Message, "classes.call_record.retention") || !strings.Contains(f.Message, "write 1 to 60 seconds") {
				t.Errorf("%s: %s", f.Field, f.Message)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v after %+v: refused are %q, want %q", c.p.Classes, c.before, got, c.want)
		}
	}
	p := with(60, 0, 0)
	delete(p.Classes, Recording)
	delete(p.Classes, Transcript)
	if bad := p.Outlasting(nil); bad != nil {
		t.Errorf("classes without a rule: %v", bad)
	}
}
