package issuer

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"testing"
)

// The forms of the provider's pages.
var (
	form  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	input = regexp.MustCompile(`<input[^>]*>`)
	name  = regexp.MustCompile(`name="([^"]*)"`)
	value = regexp.MustCompile(`value="([^"]*)"`)
)

const maxPages = 12

// Confirm is a person with a browser: they open the page of a device login, log
// in under a name, and agree to everything.
func Confirm(t testing.TB, client *http.Client, page, person string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: client.Transport, Jar: jar}
	resp, err := hc.Get(page)
	for range maxPages {
		if err != nil {
			t.Fatalf("open %s: %v", page, err)
		}
		body, readErr := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if readErr != nil || resp.StatusCode >= 400 {
			t.Fatalf("the issuer's page answers %d: %s", resp.StatusCode, body)
		}
		found := form.FindSubmatch(body)
		if found == nil {
			return // it says that the device is signed in
		}
		fields := url.Values{}
		for _, in := range input.FindAll(found[2], -1) {
			n, v := name.FindSubmatch(in), value.FindSubmatch(in)
			switch {
			case n == nil || string(n[1]) == "abort":
			case string(n[1]) == "login" || string(n[1]) == "password":
				fields.Set(string(n[1]), person)
			case v != nil:
				fields.Set(string(n[1]), html.UnescapeString(string(v[1])))
			}
		}
		target, parseErr := resp.Request.URL.Parse(html.UnescapeString(string(found[1])))
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		resp, err = hc.PostForm(target.String(), fields)
	}
	t.Fatalf("more than %d pages, and the login is not confirmed", maxPages)
}
