package main

// backupPath is routed by hand (controlplane/server/download.go), because its
// answer is a file and no JSON, so the generator does not know it.
const backupPath = "/v1/backups"

func backup() map[string]any {
	return map[string]any{
		"summary": "CreateBackup takes a backup of the voter that is asked.",
		"description": "The backup is as of a revision that the leader has confirmed, and always encrypted. The answer is the file itself; " +
			"it is whole only when its own last 32 bytes say so (`domicile backup verify`). docs/operations/backup.md is its manual.",
		"operationId": "BackupService_CreateBackup",
		"tags":        []any{"BackupService"},
		"produces":    []any{"application/octet-stream"},
		"parameters": []any{map[string]any{"name": "body", "in": "body", "required": false, "schema": map[string]any{
			"type": "object",
			"properties": map[string]any{"recipients": map[string]any{
				"type": "array", "maxItems": 16, "items": map[string]any{"type": "string", "pattern": "^age1[02-9ac-hj-np-z]{58}$"},
				"description": "age X25519 public keys to encrypt to, beside those of the voter's configuration.",
			}},
		}}},
		"responses": map[string]any{
			"200":     map[string]any{"description": "The encrypted backup.", "schema": map[string]any{"type": "file"}},
			"default": map[string]any{"description": "A problem document (RFC 9457), application/problem+json.", "schema": map[string]any{"$ref": "#/definitions/v1Problem"}},
		},
	}
}
