// Package contract holds HTTP traffic against GitHub's own words: every request
// and every answer against the published OpenAPI description (npm
// @octokit/openapi, api.github.com.json), and every webhook against the
// published JSON schemas (npm @octokit/webhooks-schemas).
//
// It is for tests. It knows none of our packages: the App and the simulated
// GitHub are held to the same description by the same judge.
//
// The description is not the whole truth. What is known to be wrong in it is
// put right in corrections.go, what it does not say is in request.go and
// answer.go, and what GitHub has changed in its webhooks since the schemas were
// closed is in webhook_since.go; each entry has its reason. Everything else
// counts.
package contract
