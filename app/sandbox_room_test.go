package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// forgetful is a backend that has no room for who asked, and under which policy.
type forgetful struct{ *sandbox.MemorySandbox }

func (f forgetful) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	is, err := f.MemorySandbox.Create(ctx, spec)
	return forgotten(is), err
}

func (f forgetful) Status(ctx context.Context, id string) (sandbox.Instance, error) {
	is, err := f.MemorySandbox.Status(ctx, id)
	return forgotten(is), err
}

func (f forgetful) List(ctx context.Context) ([]sandbox.Instance, error) {
	all, err := f.MemorySandbox.List(ctx)
	for i, is := range all {
		all[i] = forgotten(is)
	}
	return all, err
}

func forgotten(is sandbox.Instance) sandbox.Instance {
	is.Policy, is.RequestedBy = "", policy.Actor{}
	return is
}

// What a backend has no room for is in the audit log nevertheless.
func TestASandboxWhoseBackendKeepsLittle(t *testing.T) {
	t.Parallel()
	options := atOnce
	options.sandboxes = map[string]sandbox.Sandbox{"docker": forgetful{sandbox.NewMemorySandbox(time.Now, program)}}
	tw := newTestWorldWith(t, options)
	tw.set(sandboxPolicy)
	tw.settled()
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	id := tw.started(pr)
	told := tw.entries("sandbox.started")
	wantText(t, told, "sandbox.started by bob", id)
	if _, under, _ := strings.Cut(told, ", under "); under == "" {
		t.Errorf("the policy is not told: %s", told)
	}
	tw.comment(pr, "lee", "/sandbox stop "+id)
	wantText(t, answered(pr), "is gone")
}
