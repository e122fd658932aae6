package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/domicile-io/domicile/policy"
)

// has reports whether err is a refusal for a reason.
func has(err error, reason policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: reason}) }

// fail reports a refusal: what was not done, why, and what to do next. Nothing of
// what the user wrote is repeated; the control plane does not either.
func fail(diags *diag.Diagnostics, what string, err error) {
	var e *policy.Error
	if !errors.As(err, &e) {
		diags.AddError(what, err.Error())
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Reason, e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "\n  %s %s", f.Field, f.Message)
	}
	if next := nextStep(e); next != "" {
		b.WriteString("\n\n" + next)
	}
	if id := e.Metadata["request_id"]; id != "" {
		fmt.Fprintf(&b, "\n\nRequest %s.", id)
	}
	diags.AddError(what, b.String())
}

// nextStep says what to do about a refusal, where this provider knows more than
// the message.
func nextStep(e *policy.Error) string {
	ch := e.Metadata["change"]
	switch e.Reason {
	case policy.LooseningNeedsApproval, policy.ApprovalRequired:
		if ch == "" { // a transfer basis is opened by its grant
			return "Nothing was changed, and the state says so."
		}
		return fmt.Sprintf("Nothing was changed, and the state says so. Look at what waits with `domicile changes get %s`, have it signed by the tenant's key and a second person with `domicile changes approve %s`, "+
			"then run `terraform apply` again: the next plan finds it done. Applying again before that names the same change. Take it back with `domicile changes reject %s`.", ch, ch, ch)
	case policy.AlreadyExists:
		return "This state does not know it. If it is there and yours, take it over with an `import` block; what has ended stays ended."
	case policy.ETagMismatch:
		return "Somebody changed it between this run's plan and now. Run `terraform plan` again and look at the difference."
	case policy.Unauthenticated:
		return "Set DOMICILE_TOKEN to a token that is still good: `domicile tokens create --role terraform`."
	case policy.PermissionDenied:
		return "Role terraform may place tenants and write policies, regions and keys; roles and tokens need a security officer's token."
	}
	return ""
}

// changedSince is the refusal to write over what the plan did not show.
func changedSince(diags *diag.Diagnostics, what, field string) {
	diags.AddError("The "+what+" is not what this plan was made of",
		fmt.Sprintf("Its %s differs from what the state says, so nothing was written: it was changed since the plan, or the state was. Run `terraform plan` again and look at the difference.", field))
}
