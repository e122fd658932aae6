// Package provider is the Terraform provider of Domicile: residency as code over
// the typed client of api/client, which is all that it knows of the control plane.
//
// Its rules:
//
//   - A region is always given. Nothing here has a default region.
//   - What would move a tenant is planned in place, never as destroy and create.
//   - A plan says what a change would break (checkPlacement) and what it would
//     loosen (policy.Classify, the same function that the control plane judges by).
//   - A secret is in no state, plan, log or diagnostic: it comes by an ephemeral
//     value into a write-only attribute and leaves as its SHA-256.
//   - State is believed about nothing that matters: before a write, what is there
//     is read again, and a difference from what the plan was made of ends the run.
//   - A refusal ends the run with the control plane's reason and what to do next.
//     Nothing waits for people.
//
// One resource, data source, ephemeral resource or function has one file; its
// acceptance test, with the real Terraform against a real control plane, is
// beside it.
package provider
