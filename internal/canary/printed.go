package canary

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// fillDepth bounds how deep Filled goes.
const fillDepth = 6

// Filled is a value of v's type with every text and every byte string in it,
// also those of what it holds, set to the given text.
func Filled(v any, text string) any {
	out := reflect.New(reflect.TypeOf(v)).Elem()
	fill(out, text, fillDepth)
	return out.Interface()
}

func fill(v reflect.Value, text string, depth int) {
	if depth == 0 || !v.CanSet() || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "NextPageToken" {
				continue // ours, and sealed
			}
			fill(v.Field(i), text, depth-1)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, depth-1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text, depth-1)
	}
}

// Printed is everything that fmt and slog write of a value, by every verb and
// both handlers.
func Printed(v any) []byte {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("value", "value", v)
	return b.Bytes()
}
