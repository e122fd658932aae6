package intake

func (p *parser) asterisk() error { return nil }
