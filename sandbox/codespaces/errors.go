package codespaces

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// NeedsUserTokenError is returned for a codespace that is not created because its owner
// to be has not let the App act for them, or not any more.
type NeedsUserTokenError = usertoken.NeededError

// What GitHub answers, by HTTP's numbers.
const (
	badRequest      = 400
	unauthorized    = 401
	paymentRequired = 402
	forbidden       = 403
	notFound        = 404
	conflict        = 409
	unprocessable   = 422
	serverError     = 500
)

// AnswerError is an answer of GitHub's that is not what was asked for.
type AnswerError struct {
	// Status is 0 if there was none.
	Status int
	// Message is what GitHub says, if anything.
	Message string
	// AllowURL is where the person grants what the repository's devcontainer asks for, if
	// that is missing.
	AllowURL string
	Cause    error
}

func (e *AnswerError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause, for the log.
func (e *AnswerError) Unwrap() error { return e.Cause }

// open reports whether it is not known if what was asked for was done.
func (e *AnswerError) open() bool { return e.Status == 0 || e.Status >= serverError }

// RefusedError is returned for a codespace that GitHub does not create.
type RefusedError struct {
	Status int
	// Why says so, and what to do about it.
	Why   string
	cause error
}

func (e *RefusedError) Error() string { return "GitHub creates no codespace: " + e.Why }

// Unwrap returns GitHub's answer, for the log.
func (e *RefusedError) Unwrap() error { return e.cause }

// MovedError is returned for a codespace that is not, or may not be, on the commit that was
// approved. Head is that commit if the head was elsewhere in between.
type MovedError struct{ Approved, Head string }

func (e *MovedError) Error() string {
	if e.Head == e.Approved {
		return fmt.Sprintf("the head of the pull request was forced to another commit, or the pull request closed and opened again, while the codespace was created: it may have another one than %.12s", e.Approved)
	}
	return fmt.Sprintf("the head of the pull request is %.12s by now, and not %.12s", e.Head, e.Approved)
}

// refusal is what GitHub's answer to a creation means for whoever asked for it.
func refusal(by usertoken.Token, err error) error {
	answer, is := errors.AsType[*AnswerError](err)
	if !is || answer.open() {
		return err
	}
	says := ""
	if answer.Message != "" {
		says = fmt.Sprintf(" (GitHub says: %s)", plain(answer.Message))
	}
	refused := func(why string) error { return &RefusedError{answer.Status, why + says, err} }
	switch answer.Status {
	case unauthorized:
		if strings.HasPrefix(answer.AllowURL, "https://") {
			return &NeedsUserTokenError{Person: by.Owner, Why: "the repository's devcontainer asks for more than they have allowed", At: answer.AllowURL}
		}
		return &NeedsUserTokenError{Person: by.Owner, Why: "GitHub does not take the token any more that it gave for that"}
	case paymentRequired:
		return refused("nobody pays for it; an owner of the organization sets a spending limit for Codespaces, or who pays")
	case forbidden:
		return refused("neither the person nor the App may create one there; the organization's settings say who may, and the App needs Codespaces: write")
	case notFound:
		return refused("the person cannot see the repository or the pull request, or the App is not installed there")
	case conflict:
		return refused("there is another one in the way")
	case badRequest, unprocessable:
		return refused("it does not take what was asked for")
	default:
		return refused(fmt.Sprintf("it answers %d", answer.Status))
	}
}

// plain is what of a text of GitHub's goes on to people: branches and the like are in it,
// which others named.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,:;'-/()", r)) {
			return r
		}
		return ' '
	}, text)
}

// unsupported is the refusal of a constraint.
func unsupported(field, why string, args ...any) error {
	return &sandbox.UnsupportedError{Provider: Provider, Field: field, Why: fmt.Sprintf(why, args...)}
}
