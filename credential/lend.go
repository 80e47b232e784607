package credential

import (
	"context"
	"errors"
	"fmt"
)

// Lend lends a secret that is kept elsewhere, as it is. It cannot be taken back: whoever
// has read it has it until it is changed at its source.
type Lend struct{ Store SecretStore }

var _ Provider = Lend{}

// Plan wants a name.
func (Lend) Plan(order Order) (Capabilities, error) {
	return Capabilities{EnvironmentOnly: true}, checkSecretName(order.Source)
}

// Issue reads the secret. One that is empty is not lent: a job would take it for one
// that is not there.
func (l Lend) Issue(ctx context.Context, order Order) (Material, error) {
	value, err := l.Store.Get(ctx, order.Source)
	if err != nil {
		return Material{}, fmt.Errorf("read what is lent: %w", err)
	}
	if value.IsZero() {
		return Material{}, fmt.Errorf("the secret %q is empty: %w", order.Source, errEmpty)
	}
	return Material{Values: map[string]Secret{"": value}}, nil
}

var errEmpty = errors.New("nothing is lent")

// Revoke has nothing that it could do.
func (Lend) Revoke(context.Context, []byte) error { return nil }
