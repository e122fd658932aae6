package postgres

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the one server of a test binary.
var shared struct {
	mu     sync.Mutex
	main   bool
	server *Server
}

// Main runs the tests of a package and then stops the server that Database
// started, if it did. It gives the exit code.
func Main(m *testing.M) int {
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		if err := shared.server.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			return max(code, 1)
		}
	}
	return code
}

// Database makes a new, empty database on the test binary's own server, which
// the first call starts, and gives its DSN. The package's TestMain calls Main.
func Database(t testing.TB) string {
	t.Helper()
	bin := need(t)
	shared.mu.Lock()
	if !shared.main {
		shared.mu.Unlock()
		t.Fatal("postgres.Database needs func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }, so that its server is stopped")
	}
	if shared.server == nil {
		s, err := start(bin)
		if err != nil {
			shared.mu.Unlock()
			t.Fatalf("start PostgreSQL: %v", err)
		}
		shared.server = s
	}
	s := shared.server
	shared.mu.Unlock()
	return s.Database(t)
}
