package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// KillSwitch is what the door tells of what happens to labels, and asks for on
// behalf of people. [killswitch.GitHubKillSwitch] fits.
type KillSwitch interface {
	// Means reports whether a label of that name is the switch in the repository.
	Means(repository policy.Repository, label string) (is, agents bool)
	Put(ctx context.Context, n killswitch.Notice) error
	Taken(ctx context.Context, n killswitch.Notice, done string) error
	// Locks reports whether the custom property is one that locks, and whether it is the
	// organization's.
	Locks(property string) (is, organization bool)
	Tampered(ctx context.Context, scope killswitch.Scope, by policy.Actor, done string) error
	// Lost records that the App can enforce nothing in an installation any more.
	Lost(ctx context.Context, installation int64, owner string, by policy.Actor, done string) error
	// Scope is what an order is about; false if it does not say.
	Scope(o killswitch.Order) (killswitch.Scope, bool)
	Obey(ctx context.Context, o killswitch.Order) error
	// Told says what holds where the order was given.
	Told(ctx context.Context, o killswitch.Order) (string, error)
}

// switchEvent is an event that may be about a kill switch. What it is about is work
// of its own, beside that on the pull request: it waits for nothing else.
type switchEvent interface {
	// throws says whose switch the payload is about; false if it is about none.
	throws(payload []byte) (killswitch.Scope, bool, error)
}

// noticeEvent is one that tells what happened to a switch.
type noticeEvent interface {
	throw(ctx context.Context, payload []byte, heardAt time.Time) error
}

// orderEvent is one in which people may order something.
type orderEvent interface {
	order(ctx context.Context, payload []byte, heardAt time.Time) (SwitchAnswer, error)
}

// SwitchAnswer tells whoever gave an order what came of it, once GitHub was made to
// be as it says. It is nil where nobody waits for one.
type SwitchAnswer func(ctx context.Context) error

// TakeSwitch makes facts of a kept delivery about a kill switch. Deliveries about
// the switches of one place must be taken one after the other.
func (d *Door) TakeSwitch(ctx context.Context, eventName string, payload []byte, heardAt time.Time) (SwitchAnswer, error) {
	switch e := d.events[eventName].(type) {
	case orderEvent:
		return e.order(ctx, payload, heardAt)
	case noticeEvent:
		return nil, e.throw(ctx, payload, heardAt)
	default:
		return SwitchAnswer(nil), nil
	}
}

// place is the scope of which an issue of the repository is the switch.
func (d *Door) place(repository policy.Repository, agents bool) killswitch.Scope {
	scope := killswitch.Scope{Repository: repository}
	if d.governsOwner(repository.Name) {
		scope = killswitch.Organization(repository.Owner, repository.Installation)
	}
	scope.Agents = agents
	return scope
}

// orders are the /killswitch commands of a text, by the index of the command.
func (d *Door) orders(s speech, o killswitch.Order) map[int]killswitch.Order {
	found := map[int]killswitch.Order{}
	if s.By.Kind != policy.KindUser {
		return found
	}
	for i, command := range policy.ParseCommands(s.Body) {
		if command.Verb != policy.VerbKillSwitch || i >= policy.MaxCommands {
			continue
		}
		order := o
		order.By, order.At, order.About = s.By, s.At, s.about
		if command.Fault == "" {
			order.SwitchOrder = command.SwitchOrder()
		}
		found[i] = order
	}
	return found
}

// switchOf is the scope of the first of the orders.
func (d *Door) switchOf(orders map[int]killswitch.Order) (killswitch.Scope, bool) {
	first := -1
	for i := range orders {
		if first < 0 || i < first {
			first = i
		}
	}
	if first < 0 {
		return killswitch.Scope{}, false
	}
	scope, _ := d.config.Switch.Scope(orders[first])
	return scope, true
}

// ordersFor is the scope of the first order in a payload that ordered reads; few hold
// the word at all.
func (d *Door) ordersFor(payload []byte, ordered func([]byte, time.Time) (speech, map[int]killswitch.Order, error)) (killswitch.Scope, bool, error) {
	if !strings.Contains(strings.ToLower(string(payload)), "killswitch") {
		return killswitch.Scope{}, false, nil
	}
	_, orders, err := ordered(payload, time.Time{})
	if err != nil {
		return killswitch.Scope{}, false, err
	}
	scope, is := d.switchOf(orders)
	return scope, is, nil
}

// obeyOrders does what the orders say, in their order, and returns how each is
// answered.
func (d *Door) obeyOrders(ctx context.Context, s speech, orders map[int]killswitch.Order) (SwitchAnswer, error) {
	seen := make(chan error, 1)
	go func() { seen <- d.react(ctx, s, reactionSeen) }()
	commands := policy.ParseCommands(s.Body)
	answers := map[int]answer{}
	for i, command := range commands {
		order, is := orders[i]
		if !is {
			continue
		}
		if command.Fault != "" {
			answers[i] = answer{refused: command.Fault}
			continue
		}
		var refusal *killswitch.RefusedError
		var waiting *killswitch.WaitingError
		switch err := d.config.Switch.Obey(ctx, order); {
		case errors.As(err, &refusal):
			answers[i] = answer{refused: fmt.Sprintf("This `/killswitch` has no effect: %s.", refusal.Why)}
		case errors.As(err, &waiting):
			answers[i] = answer{reply: "You asked to start again; " + waiting.Error() + "."}
		case err != nil:
			return nil, errors.Join(fmt.Errorf("obey /killswitch in %s: %w", s.Text, err), <-seen)
		case order.Verb == policy.SwitchOff:
			answers[i] = answer{reply: "Every gate is decided anew now; then merges are possible again."}
		default:
			answers[i] = answer{}
		}
	}
	return func(ctx context.Context) error {
		if err := <-seen; err != nil {
			return err
		}
		for i, command := range commands {
			a, is := answers[i]
			if !is {
				continue
			}
			if a == (answer{}) {
				told, err := d.config.Switch.Told(ctx, orders[i])
				if err != nil {
					return err
				}
				a.reply = told
			}
			if err := d.give(ctx, s, i, command, a); err != nil {
				return fmt.Errorf("answer /%s in %s: %w", command.Verb, s.Text, err)
			}
		}
		return nil
	}, nil
}
