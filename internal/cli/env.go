package cli

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/policy"
)

// patience is how long a command repeats what answered "not now", which covers
// an election of the control plane.
const patience = 10 * time.Second

// setting finds a value: flag, environment, env file.
func (a *app) setting(flag, name string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if v := a.getenv(name); v != "" {
		return v, nil
	}
	if err := a.readEnvFile(); err != nil {
		return "", err
	}
	return a.file[name], nil
}

// need is setting for what a command cannot do without.
func (a *app) need(flag, name, flagName string) (string, error) {
	v, err := a.setting(flag, name)
	if err != nil || v != "" {
		return v, err
	}
	if name == "DOMICILE_KEY" {
		return "", usagef("%s is not known: give %s or set %s; `domicile keys create TENANT` makes a key and prints it", name, flagName, name)
	}
	if read := a.envPath(); read != "" {
		return "", usagef("%s is not known, and %s does not have it: give %s or set %s", name, read, flagName, name)
	}
	if file := filepath.Join(devDir, "env"); isFile(file) {
		return "", usagef("%s is not known: `domicile dev` has left it in this folder, so type  export DOMICILE_ENV_FILE=%s  or give --env-file %s", name, file, file)
	}
	return "", usagef("%s is not known: give %s, set %s, or name the file of `domicile dev` with --env-file; without a control plane, `domicile dev` runs one here", name, flagName, name)
}

// envPath is the env file that was named; "" none.
func (a *app) envPath() string {
	if a.envFile != "" {
		return a.envFile
	}
	return a.getenv("DOMICILE_ENV_FILE")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readEnvFile reads KEY=value lines once. Values may stand in quotes; "export" and comments are allowed.
func (a *app) readEnvFile() error {
	if a.file != nil {
		return nil
	}
	path := a.envPath()
	a.file = map[string]string{}
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return usagef("the env file cannot be read: %v; start `domicile dev --env-file %s` or correct the name", err, path)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export ")
		name, value, ok := strings.Cut(line, "=")
		if ok && !strings.HasPrefix(line, "#") {
			a.file[strings.TrimSpace(name)] = strings.Trim(value, `"'`)
		}
	}
	if ca := a.file["DOMICILE_CA"]; ca != "" && !filepath.IsAbs(ca) {
		a.file["DOMICILE_CA"] = filepath.Join(filepath.Dir(path), ca)
	}
	return nil
}

func (a *app) http() (*http.Client, error) {
	ca, err := a.setting(a.ca, "DOMICILE_CA")
	if err != nil {
		return nil, err
	}
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: ca})
	if err != nil {
		return nil, usagef("%v: correct --ca or DOMICILE_CA", err)
	}
	return hc, nil
}

// control is the client for the control plane.
func (a *app) control() (*client.Control, error) {
	base, err := a.need(a.controlURL, "DOMICILE_CONTROL_URL", "--control-url")
	if err != nil {
		return nil, err
	}
	hc, err := a.http()
	if err != nil {
		return nil, err
	}
	token, err := a.setting(a.token, "DOMICILE_TOKEN")
	if err == nil && token == "" {
		token, err = a.loginToken(base)
	}
	if err != nil {
		return nil, err
	}
	return &client.Control{BaseURL: base, Token: token, HTTP: hc, Patience: patience}, nil
}

// region is the client for the region that the key names.
func (a *app) region() (*client.Region, error) {
	key, err := a.need(a.key, "DOMICILE_KEY", "--key")
	if err != nil {
		return nil, err
	}
	at, _, _, err := policy.ParseKeyString(key)
	if err != nil {
		return nil, usagef("the key is not usable: %v", err)
	}
	base, err := a.need(a.regionURL, fmt.Sprintf("DOMICILE_%s_URL", strings.ToUpper(string(at))), "--region-url")
	if err != nil {
		return nil, fmt.Errorf("%w; the key works in %s only, and `domicile regions get %s` shows where that is", err, at, at)
	}
	hc, err := a.http()
	if err != nil {
		return nil, err
	}
	return &client.Region{BaseURL: base, Key: key, HTTP: hc}, nil
}
