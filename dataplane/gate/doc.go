// Package gate is the only caller of policy.Decide in a data plane. It turns
// the current bundle, the node's own condition and a question into a Permit or
// a refusal, and fails closed.
package gate
