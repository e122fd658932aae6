package cli

import (
	"strings"

	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// nextStep adds the command that a reason calls for, where the message cannot know it.
func nextStep(e *policy.Error) string {
	switch e.Reason {
	case policy.LooseningNeedsApproval:
		if id := e.Metadata["change"]; id != "" {
			return "domicile changes get " + screen.Clean(id)
		}
		if n := e.Metadata["grant_sequence"]; n != "" {
			return "domicile bases grant BASIS --root FILE --cluster CL… --sequence " + screen.Clean(n) + " --out FILE"
		}
		return "domicile changes list"
	case policy.ETagMismatch, policy.IfMatchRequired:
		return "read it again, look at what changed, and repeat"
	case policy.Unauthenticated:
		return credentials(e)
	case policy.OutcomeUnknown:
		return "repeat the same command; repeating is safe"
	case policy.NotReady, policy.PolicyStale, policy.Overloaded, policy.TenantFenced:
		if e.Metadata["request_id"] == "" {
			return unanswered(e)
		}
		return "try again in a few seconds; `domicile status` says what is wrong"
	case policy.NotFound, policy.InvalidArgument:
		return lookup(e)
	}
	return ""
}

// credentials tells a region, whose requests are called rq…, from the control plane.
func credentials(e *policy.Error) string {
	if strings.HasPrefix(e.Metadata["request_id"], "rq") {
		return "check the key (--key, DOMICILE_KEY; `domicile keys list TENANT`); a command for the control plane has a region's address in --control-url or DOMICILE_CONTROL_URL"
	}
	return "check the token (--token, DOMICILE_TOKEN; of `domicile dev`, read its env file again), or run domicile login"
}

// unanswered is for what no server described: repeating helps when one was just starting.
func unanswered(e *policy.Error) string {
	if strings.HasPrefix(e.Message, "nothing answers") {
		return "try again once it runs: `domicile dev` runs all here; the address comes from flags, DOMICILE_CONTROL_URL, DOMICILE_<REGION>_URL or the env file, in this order"
	}
	return ""
}

// lists are the commands that show what there is of what was not found, or was misspelt.
var lists = [][2]string{
	{"tenant", "domicile tenants list"}, {"region", "domicile regions list"}, {"node", "domicile nodes list"},
	{"change", "domicile changes list"}, {"basis", "domicile bases list"}, {"violation", "domicile violations list"}, {"operation", "domicile operations list"},
}

func lookup(e *policy.Error) string {
	for _, l := range lists {
		if strings.HasPrefix(e.Message, "no such "+l[0]+",") {
			return l[1]
		}
		for _, f := range e.Fields {
			if f.Field == l[0] || f.Field == "home_"+l[0] || f.Field == "target_"+l[0] {
				return l[1]
			}
		}
	}
	return ""
}
