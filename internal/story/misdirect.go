package story

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// misdirect sends an Irish tenant's record to the US by hand: first only the
// headers, which promise a body. An answer that arrives now was decided
// without the body, for not a byte of it has been sent.
func (t *teller) misdirect(ctx context.Context) error {
	h := t.homes[0]
	wrong := t.Env.RegionURL("us1")
	record, err := fill("freeswitch.cdr.json", h)
	if err != nil {
		return err
	}
	status, p, err := t.sendHead(ctx, wrong, "/v1/feeds/freeswitch/sbc1", h.key, len(record))
	if err != nil {
		return err
	}
	if err := t.check(status == http.StatusMisdirectedRequest && p.Reason == policy.WrongRegion,
		"us1 answered %d %s while 0 of the record's %d bytes had been sent", status, p.Reason, len(record)); err != nil {
		return err
	}
	if err := t.check(p.RequestID != "" && namesHome(p, t.Env.RegionURL(h.region)), "the answer names the right address, %s, and is no redirect", t.Env.RegionURL(h.region)); err != nil {
		return err
	}
	_, err = t.regionClient("us1", h.key).Rollups(ctx, day)
	if err := t.refused(err, policy.WrongRegion, "reading with the Irish key in the US is refused in the same way"); err != nil {
		return err
	}
	t.command("--region-url %s records list", wrong)
	return nil
}

// namesHome looks for the home's address in the problem document.
func namesHome(p api.Problem, home string) bool {
	for _, v := range p.Metadata {
		if v == home {
			return true
		}
	}
	return false
}

// sendHead opens a connection of its own, sends the headers of a POST and waits for the answer.
func (t *teller) sendHead(ctx context.Context, base, path, key string, length int) (int, api.Problem, error) {
	var p api.Problem
	u, err := url.Parse(base)
	if err != nil {
		return 0, p, err
	}
	roots, err := mtls.LoadRoots(t.Env.CAFile())
	if err != nil {
		return 0, p, err
	}
	d := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}}
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return 0, p, fmt.Errorf("connect to %s: %w", base, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, p, err
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, u.Host, key, length); err != nil {
		return 0, p, fmt.Errorf("send headers: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, p, fmt.Errorf("read the answer: %w", err)
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&p)
	return resp.StatusCode, p, err
}
