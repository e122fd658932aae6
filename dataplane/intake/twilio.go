package intake

func (p *parser) twilio() error { return nil }
