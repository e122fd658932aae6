package policy

// outlives reports whether data of class c that is kept for own hangs on a call
// whose record ends before: when the record is gone, nothing leads from a person to
// what hangs on it. 0 is until erased, the longest there is.
func outlives(c DataClass, own, call Seconds) bool {
	return (c == Recording || c == Transcript) && call > 0 && (own == 0 || own > call)
}

// Outlasting names each class that p keeps longer than the call that it hangs on,
// and did not in before; nil asks about all. It is apart from [ResidencyPolicy.Validate]
// because policies of before are valid: whoever writes one is refused, whoever has one
// acts on what [Terms.Retention] makes of it.
func (p *ResidencyPolicy) Outlasting(before *ResidencyPolicy) []FieldError {
	var l fieldErrors
	call := p.Classes[CallRecord].Retention
	for _, c := range sortedKeys(p.Classes) {
		own := p.Classes[c].Retention
		if !outlives(c, own, call) {
			continue
		}
		if before != nil {
			if was, had := before.Classes[c]; had && was.Retention == own && before.Classes[CallRecord].Retention == call {
				continue // an owner who changes something else is not kept from it
			}
		}
		l.addf("classes."+c.String()+".retention", "is longer than classes.call_record.retention, and nothing of a call may outlive its record, or no erasure would find it; "+
			"write 1 to %d seconds here (0, until erased, is longer), or keep call records longer", call)
	}
	return l
}
