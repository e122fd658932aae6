package supervisor

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestSystemdHears plays systemd: a datagram socket that counts.
func TestSystemdHears(t *testing.T) {
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", address.Name)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt((30*time.Millisecond).Microseconds(), 10))
	hear := func(want string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for b := make([]byte, 256); ; {
			n, err := socket.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if got := string(b[:n]); got == want {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("heard %s, want %s", got, want)
			}
		}
	}
	stop := Serve(context.Background(), slog.New(slog.DiscardHandler))
	hear("READY=1")
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	go stop()
	hear("STOPPING=1")
}

func TestWithoutSystemdNothingIsSaid(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	Serve(context.Background(), slog.New(slog.DiscardHandler))()
}
