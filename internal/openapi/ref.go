package main

// separate leaves nothing beside a $ref: readers of OpenAPI 2 ignore what
// stands there. A description keeps its place around an allOf.
func separate(node any) {
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			separate(v)
		}
	case map[string]any:
		if ref, ok := n["$ref"].(string); ok && len(n) > 1 {
			delete(n, "$ref")
			delete(n, "type")
			if len(n) == 0 {
				n["$ref"] = ref
				return
			}
			n["allOf"] = []any{map[string]any{"$ref": ref}}
			return
		}
		for _, v := range n {
			separate(v)
		}
	}
}
