package contract

import (
	"fmt"
	"os"
	"sync"
)

// Where the published files are. A test process reads each of them once.
const (
	OpenAPIVariable         = "PORTCULLIS_OPENAPI"
	WebhookSchemasVariable  = "PORTCULLIS_WEBHOOK_SCHEMAS"
	WebhookExamplesVariable = "PORTCULLIS_WEBHOOK_EXAMPLES"
)

// FromEnvironment returns the judge of the description that PORTCULLIS_OPENAPI
// names; nil without an error if it names none. With CI=true that is an error.
func FromEnvironment() (*Judge, error) { return fromEnvironment() }

// WebhooksFromEnvironment does the same for PORTCULLIS_WEBHOOK_SCHEMAS.
func WebhooksFromEnvironment() (*Webhooks, error) { return webhooksFromEnvironment() }

var (
	fromEnvironment         = sync.OnceValues(func() (*Judge, error) { return load(OpenAPIVariable, Load) })
	webhooksFromEnvironment = sync.OnceValues(func() (*Webhooks, error) { return load(WebhookSchemasVariable, LoadWebhooks) })
)

func load[T any](variable string, open func(string) (*T, error)) (*T, error) {
	file := os.Getenv(variable)
	switch {
	case file != "":
		return open(file)
	case os.Getenv("CI") == "true":
		return nil, fmt.Errorf("%s is not set; .ci/run sets it", variable)
	default:
		return nil, nil //nolint:nilnil // nothing is judged, and that is no error
	}
}
