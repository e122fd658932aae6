package chaos

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the state of one object. Etags never come back, so a state is
// known by its etag; only what an unanswered write made has none that we know
// (and the id that the server drew for a new tenant: no value), until somebody
// reads it.
type register struct {
	exists bool
	value  string
	etag   string // "" when we have not seen it yet
}

// model is a register that is created once, swapped by etag, and removed by etag.
// A policy that exists from the start is created by the first operation on it.
var model = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, in, out any) (bool, any) { return step(state.(register), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%+v → %+v", in, out)
	},
}

func step(s register, in input, out output) (bool, any) {
	switch in.verb {
	case read:
		if out.result == refused {
			return !s.exists, s
		}
		same := s.value == out.value || s.value == ""
		return s.exists && same && (s.etag == "" || s.etag == out.etag), register{true, out.value, out.etag}
	case create:
		switch {
		case out.result == refused:
			return s.exists, s
		case out.result == unknown && s.exists:
			return true, s // it came too late and was refused
		}
		return !s.exists, register{true, cmp.Or(in.value, out.value), out.etag}
	}
	// swap and remove
	meets := s.exists && (s.etag == in.match || s.etag == "" && s.value == in.from)
	next := register{true, in.value, out.etag}
	if in.verb == remove {
		next = register{}
	}
	switch out.result {
	case done:
		return meets, next
	case refused:
		return !s.exists || s.etag != in.match, s
	}
	if meets {
		return true, next
	}
	return true, s
}

// linearizable checks every object's history. Porcupine's Unknown is a failure.
func linearizable(t *testing.T, h *history, limit time.Duration) {
	t.Helper()
	end := time.Now().Add(limit)
	for _, o := range h.objects() {
		ops := h.ops[o]
		res, info := porcupine.CheckOperationsVerbose(model, ops, max(time.Until(end), time.Second))
		if res == porcupine.Ok {
			continue
		}
		t.Errorf("%s: %d operations: %s", o, len(ops), res)
		path := t.ArtifactDir() + "/history.html"
		if err := porcupine.VisualizePath(model, info, path); err == nil {
			t.Logf("see %s", path)
		}
		if t.Failed() && len(ops) < 60 {
			for _, op := range ops {
				t.Logf("%d %9.3f %9.3f %s", op.ClientId, time.Duration(op.Call).Seconds(), time.Duration(op.Return).Seconds(), model.DescribeOperation(op.Input, op.Output))
			}
		}
	}
}

// The checker must be able to fail.
func TestTheModelSeesViolations(t *testing.T) {
	const sec = int64(time.Second)
	op := func(call, end int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call * sec, Return: end * sec}
	}
	made := op(0, 1, input{verb: create, value: "a"}, output{done, "a", "1"})
	set := op(2, 3, input{verb: swap, match: "1", from: "a", value: "b"}, output{result: done, etag: "2"})
	for name, x := range map[string]struct {
		ops []porcupine.Operation
		ok  bool
	}{
		"in order":               {[]porcupine.Operation{made, set, op(4, 5, input{verb: read}, output{done, "b", "2"})}, true},
		"stale read":             {[]porcupine.Operation{made, set, op(4, 5, input{verb: read}, output{done, "a", "1"})}, false},
		"lost create":            {[]porcupine.Operation{made, op(4, 5, input{verb: read}, output{result: refused})}, false},
		"two creates":            {[]porcupine.Operation{made, op(4, 5, input{verb: create, value: "c"}, output{done, "c", "3"})}, false},
		"two swaps of one etag":  {[]porcupine.Operation{made, set, op(2, 4, input{verb: swap, match: "1", from: "a", value: "c"}, output{result: done, etag: "3"})}, false},
		"a wrong refusal":        {[]porcupine.Operation{made, op(4, 5, input{verb: swap, match: "1", from: "a", value: "c"}, output{result: refused})}, false},
		"an unknown that was":    {[]porcupine.Operation{made, op(2, 99, input{verb: swap, match: "1", from: "a", value: "b"}, output{result: unknown}), op(4, 5, input{verb: read}, output{done, "b", "2"})}, true},
		"an unknown that wasn't": {[]porcupine.Operation{made, op(2, 99, input{verb: swap, match: "1", from: "a", value: "b"}, output{result: unknown}), op(4, 5, input{verb: read}, output{done, "a", "1"})}, true},
		"an unknown, undone":     {[]porcupine.Operation{made, op(2, 99, input{verb: swap, match: "1", from: "a", value: "b"}, output{result: unknown}), op(4, 5, input{verb: read}, output{done, "b", "2"}), op(6, 7, input{verb: read}, output{done, "a", "1"})}, false},
	} {
		if got := porcupine.CheckOperations(model, x.ops); got != x.ok {
			t.Errorf("%s: linearizable is %v, want %v", name, got, x.ok)
		}
	}
}
