package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// MaxPayload is the largest webhook that GitHub delivers, in bytes.
const MaxPayload = 25 << 20

// Inbox keeps deliveries until they are worked on.
type Inbox interface {
	// Accept keeps a delivery together with the work it asks for. about is the
	// pull request it concerns; with the zero value the delivery is work of its
	// own. A delivery id that is known already changes nothing and is no error.
	Accept(ctx context.Context, id, event string, about policy.PullRequestRef, urgency gate.Urgency, payload []byte) error
	// AcceptSwitch keeps a delivery about the switches of a place.
	AcceptSwitch(ctx context.Context, id, event string, place killswitch.Scope, payload []byte) error
}

// GitHub is how the door answers people.
type GitHub interface {
	// React puts a reaction on a comment of a pull request.
	React(ctx context.Context, repository policy.Repository, commentID int64, reaction string) error
	// Reply comments on a pull request, once for each key. since is when what is
	// replied to was written.
	Reply(ctx context.Context, ref policy.PullRequestRef, key string, since time.Time, body string) error
}

// Config is what a door is made of. Every field but the previous secret is
// required.
type Config struct {
	// Secret is the webhook secret.
	Secret string
	// PreviousSecret is valid as well, while the secret is being changed; usually
	// empty, and then nothing fits it.
	PreviousSecret string
	Inbox          Inbox
	Gate           *gate.Gate
	Switch         KillSwitch
	// Lending lends credentials; nil: nothing is lent.
	Lending Lending
	// Deputies lists the sandboxes in a repository that have a person's rights, or had them
	// at that time or later; nil: there are none.
	Deputies func(ctx context.Context, repository policy.Repository, since time.Time) ([]policy.Deputy, error)
	// HandsOut is true if jobs are handed credentials for their id-tokens: then the end of
	// a job counts that is of no environment.
	HandsOut bool
	// Sandboxes starts sandboxes; nil: there are none.
	Sandboxes Sandboxes
	// UserTokens are people's; nil: none are kept.
	UserTokens UserTokens
	GitHub     GitHub
	// Resync has the open pull requests of an installation looked at.
	Resync func(ctx context.Context, installation int64) error
	// Reach has it looked at where the App is installed.
	Reach func(ctx context.Context) error
	Log   zerolog.Logger
	// PolicyPath is where repositories keep their policy file, and
	// OrganizationRepository the name of the one with the organization's.
	PolicyPath             string
	OrganizationRepository string
}

// ErrNoSecret is returned for an empty webhook secret: with it, anybody could
// send events.
var ErrNoSecret = errors.New("github.app.webhook_secret is empty; set it to the secret of the App's webhook")

// Door receives GitHub's webhooks. It may be used by several goroutines.
type Door struct {
	config Config
	events map[string]event
	// dispatcher checks the secret's signature, previous that of the secret before it.
	dispatcher, previous http.Handler
}

// event is a kind of webhook that means something here.
type event interface {
	Handles() []string
	// concerns says whose work the payload is, and what it overtakes; ignored means
	// that there is nothing to do about it. The zero reference means that it is work
	// of its own.
	concerns(payload []byte) (ref policy.PullRequestRef, urgency gate.Urgency, err error)
	// take makes facts of the payload.
	take(ctx context.Context, payload []byte) (Answer, error)
}

// ignored is the urgency of what changes nothing.
const ignored gate.Urgency = 0

// onlyIf is the urgency of what people do, if it can change anything.
func onlyIf(matters bool) gate.Urgency {
	if !matters {
		return ignored
	}
	return gate.UrgencyPeople
}

// Answer tells people what came of their words, once the pull request has been
// decided; undecided is why it could not be. It is to be called once. It is nil
// where nobody waits for one.
type Answer func(ctx context.Context, decision policy.Decision, undecided error) error

// kept is an event as go-githubapp's dispatcher wants it. The dispatcher only
// finds it; what is delivered is kept, and taken by [Door.Take].
type kept struct{ event }

func (k kept) Handle(_ context.Context, eventName, deliveryID string, _ []byte) error {
	return fmt.Errorf("the delivery %s (%s) was to be kept, not handled", deliveryID, eventName)
}

// New returns a door, or [ErrNoSecret].
func New(config Config) (*Door, error) {
	if config.Secret == "" {
		return nil, ErrNoSecret
	}
	d := &Door{config: config, events: map[string]event{}}
	registered := []githubapp.EventHandler{}
	for _, e := range []event{
		pullRequestEvent{d}, pullRequestReviewEvent{d}, issueCommentEvent{d},
		checkRunEvent{d}, checkSuiteEvent{d}, mergeGroupEvent{d}, deploymentRuleEvent{d}, workflowJobEvent{d}, workflowRunEvent{d},
		pushEvent{d}, repositoryEvent{d}, labelEvent{d}, issuesEvent{d}, rulesetEvent{d}, propertyEvent{d},
		membershipEvent{d}, memberEvent{d}, teamEvent{d}, organizationEvent{d}, installationEvent{d}, authorizationEvent{d},
	} {
		registered = append(registered, kept{e})
		for _, name := range e.Handles() {
			d.events[name] = e
		}
	}
	dispatcher := func(secret string) http.Handler {
		return githubapp.NewEventDispatcher(registered, secret,
			githubapp.WithScheduler(inbox{config.Inbox}),
			githubapp.WithErrorCallback(refuse),
			githubapp.WithResponseCallback(accepted),
		)
	}
	d.dispatcher, d.previous = dispatcher(config.Secret), dispatcher(config.PreviousSecret)
	return d, nil
}

// ServeHTTP receives one webhook. What can be refused by its headers is refused
// before the body is read.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(d.config.Log.WithContext(r.Context()), answerTimeout, errTooSlow)
	defer cancel()
	r = r.WithContext(ctx)
	if refusal := inspect(r); refusal != nil {
		refuse(w, r, refusal)
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	if err != nil {
		refuse(w, r, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(payload))
	if d.fitsPrevious(r, payload) {
		zerolog.Ctx(ctx).Info().Str("event", "webhook.previous_secret").Msg("a webhook was signed with the previous secret; remove it once there are no more of these")
		d.previous.ServeHTTP(w, r)
		return
	}
	d.dispatcher.ServeHTTP(w, r)
}

// answerTimeout is how long a delivery may take to be kept. GitHub waits for ten
// seconds, and a refusal that it hears is one that it shows.
const answerTimeout = 9 * time.Second

var errTooSlow = fmt.Errorf("it was not kept within %s", answerTimeout)

// fitsPrevious only chooses: whichever dispatcher gets the delivery checks its
// signature.
func (d *Door) fitsPrevious(r *http.Request, payload []byte) bool {
	return d.config.PreviousSecret != "" &&
		github.ValidateSignature(r.Header.Get(github.SHA256SignatureHeader), payload, []byte(d.config.PreviousSecret)) == nil
}

// Take makes facts of a kept delivery. Deliveries that concern one pull request
// must be taken one after the other. The Answer is to be called once the pull
// request has been decided, and the delivery is done when it returns no error; if
// it is nil the delivery is done at once.
func (d *Door) Take(ctx context.Context, eventName string, payload []byte) (Answer, error) {
	e, ok := d.events[eventName]
	if !ok {
		return Answer(nil), nil
	}
	return e.take(ctx, payload)
}

// Refusal is an answer to a webhook that has no effect.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

// inspect refuses by method and headers. GitHub still sends a SHA-1 signature
// beside the SHA-256 one; go-github would accept it alone, and in the place of
// the other.
func inspect(r *http.Request) *Refusal {
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case r.Method != http.MethodPost:
		return &Refusal{http.StatusMethodNotAllowed, "webhooks are sent with POST"}
	case r.ContentLength > MaxPayload:
		return &Refusal{http.StatusRequestEntityTooLarge, "the payload is larger than 25 MB"}
	case !strings.HasPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="):
		return &Refusal{http.StatusUnauthorized, "the X-Hub-Signature-256 header is missing or not a SHA-256 signature"}
	case r.Header.Get("X-GitHub-Event") == "":
		return &Refusal{http.StatusBadRequest, "the X-GitHub-Event header is missing"}
	case r.Header.Get("X-GitHub-Delivery") == "":
		return &Refusal{http.StatusBadRequest, "the X-GitHub-Delivery header is missing"}
	case strings.TrimSpace(contentType) != "application/json":
		return &Refusal{http.StatusUnsupportedMediaType, "set the webhook's content type to application/json"}
	default:
		return nil
	}
}

// refuse is the one place where an error becomes an answer to GitHub.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := asRefusal(err)
	zerolog.Ctx(r.Context()).Warn().Err(err).
		Str(githubapp.LogKeyEventType, r.Header.Get("X-GitHub-Event")).
		Str(githubapp.LogKeyDeliveryID, r.Header.Get("X-GitHub-Delivery")).
		Str("remote", r.RemoteAddr).Int("status", refusal.Status).
		Msg("webhook refused")
	http.Error(w, refusal.Reason, refusal.Status)
}

func asRefusal(err error) *Refusal {
	var refusal *Refusal
	var tooLarge *http.MaxBytesError
	var invalid githubapp.ValidationError
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &tooLarge):
		return &Refusal{http.StatusRequestEntityTooLarge, "the payload is larger than 25 MB"}
	case errors.As(err, &invalid):
		return &Refusal{http.StatusUnauthorized, "the signature does not fit the webhook secret"}
	default:
		return &Refusal{http.StatusServiceUnavailable, "the delivery could not be kept; ask GitHub to deliver it again"}
	}
}

// accepted answers 202: the work has not been done yet.
func accepted(w http.ResponseWriter, _ *http.Request, _ string, _ bool) {
	w.WriteHeader(http.StatusAccepted)
}

// inbox is the scheduler of go-githubapp's dispatcher: instead of running the
// handler it keeps the delivery.
type inbox struct{ keep Inbox }

// Schedule keeps the delivery, unless there is nothing to do about it.
func (i inbox) Schedule(ctx context.Context, d githubapp.Dispatch) error {
	e, ok := d.Handler.(kept)
	if !ok {
		return fmt.Errorf("no handler for the event %s", d.EventType)
	}
	ref, urgency, err := e.concerns(d.Payload)
	if err != nil {
		return unreadable(d.EventType, err)
	}
	if about, ok := e.event.(switchEvent); ok {
		scope, is, err := about.throws(d.Payload)
		if err != nil {
			return unreadable(d.EventType, err)
		}
		if is && urgency == ignored {
			return i.keep.AcceptSwitch(ctx, d.DeliveryID, d.EventType, scope, d.Payload)
		}
		if is {
			// It is two pieces of work, and the switch is first.
			if err := i.keep.AcceptSwitch(ctx, d.DeliveryID+switchMark, d.EventType, scope, d.Payload); err != nil {
				return err
			}
		}
	}
	if urgency == ignored {
		return nil
	}
	return i.keep.Accept(ctx, d.DeliveryID, d.EventType, ref, urgency, d.Payload)
}

// switchMark ends the id of a delivery's part about a kill switch, where it has
// another.
const switchMark = "#switch"

func unreadable(event string, err error) *Refusal {
	return &Refusal{http.StatusBadRequest, fmt.Sprintf("the payload of %s cannot be read: %v", event, err)}
}
