// Package iampolicy decides, without AWS, what policies of AWS would allow: service
// control policies, the policy of the VPC endpoint that a request goes through, the
// identity's policies and the resource's. Tests of our Terraform modules hold the
// policies that these render against a table of requests.
//
// It follows the policy evaluation logic of the IAM user guide: an explicit deny
// anywhere decides; each level of service control policies, and the endpoint's
// policy, must allow; then within one account the identity's or the resource's
// policy must, and across accounts both. A KMS key is the exception: its own policy
// must allow, or hand the decision to IAM by naming the account.
//
// It is small on purpose and strict: an element, operator or policy variable that
// it does not know is an error, never a guess. Sessions, permissions boundaries,
// resource control policies and grants are not modelled.
package iampolicy
