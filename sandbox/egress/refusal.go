package egress

import (
	"net/http"
)

// refusal is why a request gets no answer from where it was for.
type refusal struct {
	// status is 4xx for what was not let out, and 5xx for what could not be done.
	status int
	// target is what it was for; zero if that is not known.
	target target
	// reason is for the log: a few words that are always the same.
	reason string
	// told is the sentence for whoever asked.
	told string
	// cause is for the log, and may be nil. Nothing that a server sent after it was sent a
	// secret is part of one.
	cause error
}

func (r *refusal) Error() string { return r.told }

func (r *refusal) Unwrap() error { return r.cause }

// deny is for what the policy does not let out.
func deny(t target, reason, told string) error {
	return &refusal{status: http.StatusForbidden, target: t, reason: reason, told: told}
}

// malformed is for what is no request to a proxy.
func malformed(reason, told string) error {
	return &refusal{status: http.StatusBadRequest, reason: reason, told: told}
}

// failed is for what is let out and gets nowhere.
func failed(t target, reason, told string, cause error) error {
	return &refusal{status: http.StatusBadGateway, target: t, reason: reason, told: told, cause: cause}
}
