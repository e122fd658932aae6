// Package regions is the catalogue that seeds a new cluster: regions and their
// boundaries, what each region can do, which entity contracts with customers
// of which country, and the legal bases under which data may cross a border.
//
// A catalogue is YAML, read strictly: an unknown key, a repeated key or a value
// outside its closed list stops the start, and every problem is named by its
// key. [Builtin] is the one inside the program; [Load] reads an operator's own.
//
// The catalogue only seeds. Once a cluster exists its regions change through
// the API, and nothing that is replicated ever reads a file again. Everything
// here is closed: ids, codes and stages, never prose and never personal data.
//
// The entity codes are placeholders for legal entities that the operator has;
// the built-in ones name no real company. A billing country that is not in the
// table has no entity: a tenant from there needs an operator's own catalogue.
package regions
