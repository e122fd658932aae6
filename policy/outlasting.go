package policy

// KeptFor is how long data of a class are kept of which a policy says own, and call
// of call records: what hangs on a call ends with its record at the latest (INV21).
// 0 is until erased, the longest there is.
func KeptFor(c DataClass, own, call Seconds) Seconds {
	if c.HangsOnCall() && call > 0 && (own == 0 || own > call) {
		return call
	}
	return own
}

// Outlasting names each class that p keeps longer than the call that it hangs on,
// and did not in before; nil asks about all. It is apart from [ResidencyPolicy.Validate]
// because policies of before are valid: whoever writes one is refused, whoever has one
// acts on what [Terms.Retention] makes of it.
func (p *ResidencyPolicy) Outlasting(before *ResidencyPolicy) []FieldError {
	var l fieldErrors
	call := p.Classes[CallRecord].Retention
	for c := range ascending(p.Classes) {
		own := p.Classes[c].Retention
		if KeptFor(c, own, call) == own {
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
