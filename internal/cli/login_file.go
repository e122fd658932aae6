package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/domicile-io/domicile/api/client"
)

// savedLogin is one login, as kept in the user's configuration folder.
type savedLogin struct {
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Audience string    `json:"audience"`
	CA       string    `json:"ca,omitempty"`
	Access   string    `json:"access_token"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
}

func (l *savedLogin) keep(t *oauth2.Token) {
	l.Access, l.Expires = t.AccessToken, t.Expiry
	if t.RefreshToken != "" {
		l.Refresh = t.RefreshToken
	}
}

func loginFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find your configuration folder: %w", err)
	}
	return filepath.Join(dir, "domicile", "logins.json"), nil
}

// readLogins reads the logins by control plane. A file that others can read is refused.
func readLogins(path string) (map[string]savedLogin, error) {
	all := map[string]savedLogin{}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read your logins: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others: chmod 600 it, or remove it and log in again", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read your logins: %w", err)
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it and log in again", path)
	}
	return all, nil
}

// saveLogin keeps the login of a control plane, or forgets it with nil. The file
// appears whole or not at all.
func (a *app) saveLogin(base string, l *savedLogin) error {
	path, err := loginFile()
	if err != nil {
		return err
	}
	all, err := readLogins(path)
	if err != nil {
		return err
	}
	delete(all, base)
	if l != nil {
		all[base] = *l
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode your logins: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep your login: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".logins-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep your login: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep your login: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// loginToken is the access token of the login to a control plane, renewed when
// it is about to run out.
func (a *app) loginToken(base string) (string, error) {
	path, err := loginFile()
	if err != nil {
		return "", usagef("DOMICILE_TOKEN is not known: give --token or set it")
	}
	all, err := readLogins(path)
	if err != nil {
		return "", err
	}
	l, ok := all[base]
	if !ok {
		return "", usagef("DOMICILE_TOKEN is not known: give --token, set DOMICILE_TOKEN, name the file of `domicile dev` with --env-file, or run domicile login")
	}
	if l.Expires.IsZero() || time.Now().Before(l.Expires.Add(-refreshAhead)) {
		return l.Access, nil
	}
	if l.Refresh == "" {
		return "", usagef("your login has run out: domicile login")
	}
	if err := l.renew(); err != nil {
		return "", err
	}
	return l.Access, a.saveLogin(base, &l)
}

// renew asks the issuer for another access token of the same audience, which
// x/oauth2 does not name when it refreshes.
func (l *savedLogin) renew() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: l.CA})
	if err != nil {
		return err
	}
	conf, err := oauthConfig(oidc.ClientContext(ctx, hc), l)
	if err != nil {
		return err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {l.Refresh}, "client_id": {l.ClientID}, "resource": {l.Audience}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, conf.Endpoint.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := hc.Do(req)
	if err != nil {
		return fmt.Errorf("renew your login at %s: %w", l.Issuer, err)
	}
	defer resp.Body.Close()
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Seconds int    `json:"expires_in"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(body, &got) != nil || got.Access == "" {
		return usagef("your login has run out and %s does not renew it (status %d): domicile login", l.Issuer, resp.StatusCode)
	}
	t := &oauth2.Token{AccessToken: got.Access, RefreshToken: got.Refresh}
	if got.Seconds > 0 {
		t.Expiry = time.Now().Add(time.Duration(got.Seconds) * time.Second)
	}
	l.keep(t)
	return nil
}

// readSecret reads one line of a file, or of standard input with -.
func (a *app) readSecret(path string) (string, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(a.in, 4096))
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return "", usagef("the token file cannot be read: %v", err)
	}
	return strings.TrimSpace(string(raw)), nil
}
