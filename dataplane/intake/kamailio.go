package intake

func (p *parser) kamailio() error { return nil }
