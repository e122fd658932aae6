package policy

import (
	"testing"
	"time"
)

func TestRetention(t *testing.T) {
	p := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
	p.Classes[CallRecord] = ClassRule{Mode: Sealed, Retention: 3600}
	r := Compile(&p, TenantActive)
	for c, want := range map[DataClass]time.Duration{CallRecord: time.Hour, Recording: 0, 0: 0, numDataClasses: 0} {
		if got := r.Retention(c); got != want {
			t.Errorf("%v is kept %s, want %s", c, got, want)
		}
	}
}
