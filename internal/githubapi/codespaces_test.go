package githubapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// onTopic has ann open a pull request, and let the App act for her.
func (p *people) onTopic(t *testing.T) (githubapi.Person, policy.PullRequestRef) {
	t.Helper()
	if _, err := p.repo.Push(p.ann, "topic", githubsim.Commit{Files: map[string]string{"x": "x\n"}}); err != nil {
		t.Fatal(err)
	}
	pr, err := p.repo.Open(p.ann, githubsim.PullRequestSpec{Title: "x", Head: "topic"})
	if err != nil {
		t.Fatal(err)
	}
	return githubapi.Person{ID: p.ann.ID(), Token: p.app.CreateUserToken(p.ann).AccessToken}, policy.PullRequestRef{Repository: p.at, Number: pr.Number()}
}

var small = githubapi.CodespaceRequest{DisplayName: "box", Machine: "basicLinux32gb", Idle: 10 * time.Minute}

// soon waits until it is so.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); {
		if time.Now().After(end) {
			t.Fatalf("not so in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A head that comes back to where it was by force tells that it did.
func TestHeadOfAPullRequest(t *testing.T) {
	p := newPeople(t)
	_, on := p.onTopic(t)
	head, err := p.client.Head(t.Context(), on)
	if err != nil {
		t.Fatal(err)
	}
	if !head.MovedAt.IsZero() {
		t.Errorf("it was never forced, and at %s", head.MovedAt)
	}
	if _, err := p.repo.ForcePush(p.ann, "topic", head.SHA); err != nil {
		t.Fatal(err)
	}
	if _, err := p.repo.Push(p.ann, "topic", githubsim.Commit{Files: map[string]string{"x": "y\n"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.repo.ForcePush(p.ann, "topic", head.SHA); err != nil {
		t.Fatal(err)
	}
	if back, err := p.client.Head(t.Context(), on); err != nil || back.SHA != head.SHA || time.Since(back.MovedAt).Abs() > time.Minute {
		t.Errorf("there and back: %+v, %v", back, err)
	}
}

func TestCodespacesOfAPerson(t *testing.T) {
	p := newPeople(t)
	p.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Create: 20 * time.Millisecond, Stop: 20 * time.Millisecond, Delete: 20 * time.Millisecond})
	by, on := p.onTopic(t)
	head, err := p.client.Head(t.Context(), on)
	if err != nil || !head.Open || head.Branch != "topic" || head.Repository != p.repo.ID() || head.SHA != p.repo.Head("topic") {
		t.Fatalf("%+v, %v", head, err)
	}
	machines, err := p.client.Machines(t.Context(), by, p.at, "topic")
	if err != nil || len(machines) != 4 || machines[0] != (githubapi.Machine{Name: "basicLinux32gb", CPUs: 2, MemoryBytes: 8 << 30, StorageBytes: 32 << 30}) {
		t.Fatalf("%+v, %v", machines, err)
	}
	made, retried, err := p.client.CreateCodespace(t.Context(), by, on, small)
	if err != nil || retried || made.DisplayName != "box" || made.Owner.ID != p.ann.ID() || made.Payer.Login != "acme" || made.Repository.ID != p.repo.ID() || made.Repository.Owner.Login != "acme" {
		t.Fatalf("%+v, %v", made, err)
	}
	state := func() string {
		read, found, err := p.client.Codespace(t.Context(), by, made.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return "gone"
		}
		return read.State
	}
	soon(t, "it is available", func() bool { return state() == "Available" })
	for name, list := range map[string]func() ([]githubapi.Codespace, error){
		"hers":               func() ([]githubapi.Codespace, error) { return p.client.OwnCodespaces(t.Context(), by) },
		"the organization's": func() ([]githubapi.Codespace, error) { return p.client.OrganizationCodespaces(t.Context(), p.at) },
	} {
		if all, err := list(); err != nil || len(all) != 1 || all[0].Name != made.Name {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
	if err := p.client.StopCodespace(t.Context(), by, made.Name); err != nil {
		t.Fatal(err)
	}
	soon(t, "it is gone: nothing keeps what is stopped", func() bool { return state() == "gone" })
	for _, end := range []func(name string) error{
		func(name string) error { return p.client.DeleteCodespace(t.Context(), by, name) },
		func(name string) error { return p.client.DeleteMemberCodespace(t.Context(), p.at, "ann", name) },
		func(name string) error { return p.client.StopMemberCodespace(t.Context(), p.at, "ann", name) },
	} {
		if made, _, err = p.client.CreateCodespace(t.Context(), by, on, small); err != nil {
			t.Fatal(err)
		}
		soon(t, "it is available", func() bool { return state() == "Available" })
		if err := end(made.Name); err != nil {
			t.Fatal(err)
		}
		soon(t, "it is gone", func() bool { return state() == "gone" })
		if err := end(made.Name); err != nil {
			t.Errorf("again: %v", err)
		}
	}
}

func TestWhereTheAppMayEndCodespaces(t *testing.T) {
	p := newPeople(t)
	places, err := p.client.CodespaceOrganizations(t.Context())
	if err != nil || len(places) != 1 || places[0] != (policy.Repository{Installation: p.at.Installation, Owner: "acme"}) {
		t.Errorf("%+v, %v", places, err)
	}
	p.installation.SetPermission("organization_codespaces", "read")
	if places, err := p.client.CodespaceOrganizations(t.Context()); err != nil || len(places) != 0 {
		t.Errorf("where it may only look: %+v, %v", places, err)
	}
}

func TestCodespacesThatAreNotCreated(t *testing.T) {
	p := newPeople(t)
	by, on := p.onTopic(t)
	status := func(err error) int {
		failure, is := errors.AsType[*githubapi.Error](err)
		if !is {
			return -1
		}
		return failure.Status
	}
	for _, code := range []int{0, 401, 402, 403, 404, 409, 422, 503} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			defer p.sim.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile("/codespaces$"), Status: code})()
			if _, _, err := p.client.CreateCodespace(t.Context(), by, on, small); status(err) != code {
				t.Errorf("%v", err)
			}
		})
	}
	wrong := small
	wrong.Machine = "abacus"
	_, _, err := p.client.CreateCodespace(t.Context(), by, on, wrong)
	if said, is := errors.AsType[*githubapi.Refusal](err); !is || said.Message == "" || status(err) != http.StatusBadRequest {
		t.Errorf("%v", err)
	}
	p.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Retry: true})
	if _, retried, err := p.client.CreateCodespace(t.Context(), by, on, small); !retried || err != nil {
		t.Errorf("tried again: %t, %v", retried, err)
	}
}
