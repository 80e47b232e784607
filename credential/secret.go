package credential

import (
	"fmt"
	"log/slog"
)

// hidden is what shows of a secret wherever it is printed.
const hidden = "[secret]"

// Secret is a value that nothing prints, logs or marshals: only Reveal has it. The
// zero Secret is empty. The value is kept in a function, since fmt reads the fields of
// a struct that it may not ask, and sees no more of a function than its address.
type Secret struct{ reveal func() string }

// NewSecret keeps the value.
func NewSecret(value string) Secret { return Secret{func() string { return value }} }

// Reveal returns the value. Whoever calls it hands it to nothing that keeps it.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String hides the value.
func (Secret) String() string { return hidden }

// Format hides the value, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText hides the value, in JSON, YAML and whatever else asks for text.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the value.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
