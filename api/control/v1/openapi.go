package controlv1

import _ "embed"

// OpenAPI is the committed OpenAPI 2 document of the REST surface.
//
//go:embed control.swagger.json
var OpenAPI []byte
