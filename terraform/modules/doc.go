// Package modules tests our Terraform modules and examples offline: with the real
// Terraform, the AWS provider's real schema from a filesystem mirror, mocked
// providers, and a simulator for the policies that the modules render. Nothing of
// it was applied to AWS.
package modules
