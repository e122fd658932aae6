//go:build unix

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/domicile-io/domicile/internal/dev"
)

// firstTenant is the tenant of the three things to try.
const firstTenant = "my-company"

// showParts says what runs where, as a picture and as a table.
func (a *app) showParts(env *dev.Environment, took time.Duration) {
	a.out.Line("")
	a.out.Line("%s  %s", a.out.Bold("Domicile runs on this machine."), a.out.Faint(fmt.Sprintf("ready in %.1f s", took.Seconds())))
	a.out.Line("")
	for _, line := range []string{
		"   people, Terraform              switches, by HTTPS and the key of their region",
		"          │                                        │",
		"          ▼                                        ▼",
		"    control plane ── signed rules ──▶  regions " + strings.Join(env.Regions(), " "),
		"    who may be where                   the records, each at home, sealed",
		"                                                   │",
		"                                                   ╰──▶ another region: pseudonyms only,",
		"                                                        if the policy allows, and counted",
	} {
		a.out.Line("%s", line)
	}
	a.out.Line("")
	rows := [][]string{{"control plane", "-", "rules and places, no personal data; 3 voters", env.ControlURL()}}
	for _, r := range env.Regions() {
		rows = append(rows, []string{"region " + r, env.Boundary(r), "call records of the tenants that live there", env.RegionURL(r)})
		rows = append(rows, []string{"streams of " + r, env.Boundary(r), "the same records, over one long gRPC connection", env.IngestAddress(r)})
	}
	a.out.Table([]string{"PART", "BOUNDARY", "HOLDS", "WHERE"}, rows)
	a.out.Line("")
	terraform := ""
	if rc := env.TerraformRC(); rc != "" {
		terraform = "docs/terraform-quickstart.md; TF_CLI_CONFIG_FILE is " + relative(rc)
	}
	a.out.Fields([2]string{"data and logs", relative(env.Dir())},
		[2]string{"addresses, authority, token", relative(env.EnvFile())},
		[2]string{"Terraform", terraform})
	a.sayCredentials(env)
}

// sayCredentials says how the tokens came about: a real cluster's first ones do
// in the same way, with domicile bootstrap.
func (a *app) sayCredentials(env *dev.Environment) {
	c := env.Credentials()
	until := "without an end"
	if !c.Until.IsZero() {
		until = "until " + when(c.Until)
	}
	if c.Redeemed == "" {
		a.out.Note("the tokens of an earlier start work %s", until)
		return
	}
	a.out.Note("voter %s wrote a one-time token into %s, mode 0600. It was used up for a security officer's token, and that one made an operator's, both %s; the file goes. A cluster of your own starts in the same way: domicile bootstrap --token-file FILE",
		c.Voter, relative(c.Redeemed), until)
}

// showFirstSteps gives a newcomer three things to try, as commands that work
// as they stand, also at a second start, when the tenant is there already.
func (a *app) showFirstSteps(env *dev.Environment, again bool) {
	p := program()
	a.out.Line("")
	a.out.Line("%s: open another terminal in this folder, and paste", a.out.Bold("Three things to try"))
	a.out.Command("export DOMICILE_ENV_FILE=" + relative(env.EnvFile()))
	if again {
		a.out.Step(1, "Make another key for "+firstTenant+", which is there from an earlier start")
	} else {
		a.out.Step(1, "Place a tenant in Ireland and make it a key")
		a.out.Command(p + " tenants create " + firstTenant + " --region ie1 --country IE")
	}
	a.out.Command("export DOMICILE_KEY=$(" + p + " keys create " + firstTenant + " --role admin)")
	a.out.Step(2, "Give it a call record, and read it back")
	a.out.Command(`echo '{"native_id":"1","from":"+35319100001","to":"+442079460001"}' | ` + p + " records import --source native -")
	a.out.Command(p + " records list")
	a.out.Step(3, "Ask whether the US may store it, and why not")
	a.out.Command(p + " explain " + firstTenant + " --operation store --class call_record --region us1")
	a.out.Line("")
	a.out.Line("What is there besides: %s status, %s --help, docs/quickstart.md.", p, p)
	a.out.Line("Ctrl-C stops everything; the data stays.")
}
