package controlplane

import (
	"fmt"
	"strconv"
)

// protocolVersion is what this program can do with the replicated state: one
// more than the release before as soon as a command was added or changes its
// meaning. It is a string because the linker can only set those, and only tests
// of the upgrade let it.
var protocolVersion = "1"

// ProtocolVersion is the version that this program speaks, at least 1.
func ProtocolVersion() int {
	n, err := strconv.Atoi(protocolVersion)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("the program was built with the protocol version %q", protocolVersion))
	}
	return n
}
