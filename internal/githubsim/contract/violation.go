package contract

import (
	"fmt"
	"strings"
)

// Who broke the contract.
const (
	Request = "request"
	Answer  = "answer"
	Webhook = "webhook"
)

// Violation is one way in which traffic differs from what GitHub publishes.
type Violation struct {
	// By is Request, Answer or Webhook.
	By string
	// Operation is the operation, as "GET /repos/{owner}/{repo}", or the event, as
	// "label.created".
	Operation string
	// Status is what was answered; 0 for a webhook.
	Status int
	// Where is the place, as "query per_page" or "body /output/title".
	Where string
	// Why is one sentence.
	Why string
}

func (v Violation) String() string {
	if v.Status == 0 {
		return fmt.Sprintf("the %s %s, at %s: %s", v.By, v.Operation, v.Where, v.Why)
	}
	return fmt.Sprintf("the %s of %s (%d), at %s: %s", v.By, v.Operation, v.Status, v.Where, v.Why)
}

// finding is a violation without its exchange.
type finding struct{ where, why string }

func found(where, format string, args ...any) finding {
	return finding{where, strings.TrimSuffix(fmt.Sprintf(format, args...), ".")}
}
