package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/domicile-io/domicile/internal/chaos"
)

var clockFaults = []fault{{kind: "clock jump", absent: needsClock, run: jumpClock}}

// most that a clock is set ahead or back. It stays below the hour for which
// certificates are valid before they are made, and below the 24 h of stamped time
// for which an idempotency key is kept.
const mostJump = 50 * time.Minute

func needsClock(*world) string {
	if !chaos.HasClock() {
		return "setting another process's clock needs root, Linux and amd64"
	}
	return ""
}

// jumpClock sets one voter's wall clock while it works, and sets it right again.
// The witness is what that voter itself says of the time.
func jumpClock(n *nemesis) (witness string, err error) {
	v, err := n.target()
	if err != nil {
		return "", err
	}
	by := time.Duration(30+n.draw.IntN(int(mostJump.Seconds())-30)) * time.Second
	if n.draw.IntN(2) == 0 {
		by = -by
	}
	c, err := chaos.JumpClock(n.w.Process(v).PID(), by)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	n.hold(600*time.Millisecond, 1500*time.Millisecond)
	off, err := n.clockOf(v)
	if err != nil || (off-by).Abs() > 20*time.Second {
		return "", nil // it did not answer, or with the right time
	}
	return fmt.Sprintf("%s says that it is %v away", v, off.Round(time.Second)), nil
}

// clockOf is how far ahead a voter's clock is, by the Date of its answers.
func (n *nemesis) clockOf(voter string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(n.ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.w.Env.VoterURL(voter)+"/healthz", nil)
	if err != nil {
		return 0, err
	}
	res, err := n.w.HTTP().Do(req)
	if err != nil {
		return 0, err
	}
	_ = res.Body.Close() // only its head is of interest
	date, err := http.ParseTime(res.Header.Get("Date"))
	return time.Until(date), err
}
