package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/control"
)

var protoForm = protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}

// encoded is a message as -o json prints it, and as the API gives it: 64-bit
// integers are numbers.
func encoded(m proto.Message) (json.RawMessage, error) {
	raw, err := protoForm.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return control.Numbers(raw), nil
}

// result prints one message: as JSON, or as table says.
func (a *app) result(m proto.Message, table func()) error {
	if a.output != "json" {
		table()
		return nil
	}
	raw, err := encoded(m)
	if err != nil {
		return err
	}
	return a.printJSON(raw)
}

// plain is result for the region's own forms.
func (a *app) plain(v any, table func()) error {
	if a.output != "json" {
		table()
		return nil
	}
	return a.printJSON(v)
}

// list prints messages as {"name": […]} or as table says.
func list[M proto.Message](a *app, name string, ms []M, table func()) error {
	if a.output != "json" {
		table()
		return nil
	}
	rows := make([]json.RawMessage, 0, len(ms))
	for _, m := range ms {
		raw, err := encoded(m)
		if err != nil {
			return err
		}
		rows = append(rows, raw)
	}
	return a.printJSON(map[string]any{name: rows})
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out.Writer())
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// none says, to people only, that a list is empty and what to do about it.
func (a *app) none(n int, what, next string) bool {
	if n == 0 {
		a.err.Line("no %s; %s", what, next)
	}
	return n == 0
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func whenP(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return when(*t)
}

func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return when(t.AsTime())
}

func number[T ~int | ~int32 | ~int64 | ~uint64 | ~uint32](n T) string {
	if n >= 0 {
		return strconv.FormatUint(uint64(n), 10)
	}
	return strconv.FormatInt(int64(n), 10)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
