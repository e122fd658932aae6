package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A line of an export is what encoding/json writes, of every field, empty and not.
func TestExportedLinesAreWhatJSONSays(t *testing.T) {
	words := []string{"", "plain", "+353861234567", `quoted "x" \ <&> é`, "\x00\u2028\xff", "Ünï"}
	for seed := range uint64(500) {
		var c data.Call
		fillAny(reflect.ValueOf(&c).Elem(), rand.New(rand.NewPCG(seed, 7)), words, seed == 0)
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := appendCall(nil, &c); err != nil || string(got) != string(want) {
			t.Fatalf("%v\n%s, want\n%s", err, got, want)
		}
	}
}

// fillAny sets each field, by reflection, so that one that is new is set too; whole: none stays empty.
func fillAny(v reflect.Value, rnd *rand.Rand, words []string, whole bool) {
	if !whole && rnd.IntN(3) == 0 {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(rnd.Int64N(4e9), rnd.Int64N(3)*1e6*rnd.Int64N(1000)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillAny(v.Field(i), rnd, words, whole)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAny(v.Elem(), rnd, words, whole)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+rnd.IntN(3), 3))
		for i := range v.Len() {
			fillAny(v.Index(i), rnd, words, whole)
		}
	case reflect.String:
		s := words[rnd.IntN(len(words))]
		if whole {
			s = fmt.Sprint("text", rnd.Uint32())
		}
		v.SetString(s)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + rnd.Int64N(1e6))
	case reflect.Uint64:
		v.SetUint(1 + rnd.Uint64N(1e6))
	default:
		panic(v.Type().String())
	}
}

// A page that was read ahead is not written when meanwhile nothing may be shown any more.
func TestAPageReadAheadIsDecidedAgain(t *testing.T) {
	r := start(t)
	of := func(tenant policy.TenantID) *exchange {
		req := httptest.NewRequest(http.MethodGet, "/v1/calls:export", nil)
		return &exchange{s: r.server, r: req, who: gate.Principal{Tenant: tenant}}
	}
	read := make(chan paged, 1)
	read <- paged{page: store.Page{Calls: make([]store.Call, 3)}, at: time.Now().Add(time.Hour)}
	if page, _, err := of(tenantID("a")).following(store.Query{}, read); err != nil || len(page.Calls) != 3 {
		t.Errorf("of a tenant that is at home: %d calls, %v", len(page.Calls), err)
	}
	read <- paged{page: store.Page{Calls: make([]store.Call, 3)}, at: time.Now().Add(-time.Minute)}
	if page, _, err := of(tenantID("a")).following(store.Query{PageSize: 3}, read); err != nil || len(page.Calls) != 0 {
		t.Errorf("a page that was read a minute ago, of calls that are not there: %d calls, %v", len(page.Calls), err)
	}
	read <- paged{page: store.Page{Calls: make([]store.Call, 3)}, at: time.Now().Add(time.Hour)}
	if _, _, err := of(tenantID("9")).following(store.Query{}, read); err == nil {
		t.Error("of a tenant that is not, a page that was read is written")
	}
}
