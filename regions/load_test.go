package regions

import "testing"

func TestBuiltinLoads(t *testing.T) {
	c, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Topology(); err != nil {
		t.Fatal(err)
	}
}
