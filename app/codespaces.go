package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// toldCodespaces are codespaces of which people are told why there is none.
type toldCodespaces struct {
	*codespaces.Codespaces

	// authorizeURL is where people let the App act for them; empty: nowhere.
	authorizeURL string
}

var _ sandbox.Sandbox = toldCodespaces{}

// Create creates one, or says what whoever asks can do about it.
func (c toldCodespaces) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	is, err := c.Codespaces.Create(ctx, spec)
	needed, needs := errors.AsType[*codespaces.NeedsUserTokenError](err)
	refused, isRefused := errors.AsType[*codespaces.RefusedError](err)
	moved, hasMoved := errors.AsType[*codespaces.MovedError](err)
	switch {
	case needs:
		return is, &sandbox.RefusedError{Why: fmt.Sprintf("%v; that is done at %s, and then it can be asked for again", needed, cmp.Or(needed.At, c.authorizeURL, "no place that this server has"))}
	case isRefused:
		return is, &sandbox.RefusedError{Why: refused.Error()}
	case hasMoved:
		return is, &sandbox.RefusedError{Why: moved.Error()}
	default:
		return is, err
	}
}

// codespacePlatform is GitHub as codespaces need it of the App's installations, and
// codespacePeople as they need it of people.
type (
	codespacePlatform struct{ client *githubapi.Client }
	codespacePeople   struct{ client *githubapi.Client }
)

var (
	_ codespaces.Platform = codespacePlatform{}
	_ codespaces.People   = codespacePeople{}
	_ tunnel.GitHub       = codespacePeople{}
)

// Organizations lists where the App may end codespaces.
func (p codespacePlatform) Organizations(ctx context.Context) ([]policy.Repository, error) {
	places, err := p.client.CodespaceOrganizations(ctx)
	return places, platformAnswer(err)
}

// Codespaces lists those that an organization pays for.
func (p codespacePlatform) Codespaces(ctx context.Context, place policy.Repository) ([]codespaces.Codespace, error) {
	all, err := p.client.OrganizationCodespaces(ctx, place)
	return eachCodespace(all), platformAnswer(err)
}

// Stop stops one of those.
func (p codespacePlatform) Stop(ctx context.Context, place policy.Repository, of codespaces.Codespace) error {
	return platformAnswer(p.client.StopMemberCodespace(ctx, place, of.Owner.Login, of.Name))
}

// Delete deletes one of those.
func (p codespacePlatform) Delete(ctx context.Context, place policy.Repository, of codespaces.Codespace) error {
	return platformAnswer(p.client.DeleteMemberCodespace(githubapi.Urgent(ctx), place, of.Owner.Login, of.Name))
}

// Head reads where the head of a pull request is.
func (p codespacePlatform) Head(ctx context.Context, on policy.PullRequestRef) (codespaces.Head, error) {
	head, err := p.client.Head(ctx, on)
	return codespaces.Head{SHA: head.SHA, Branch: head.Branch, Repository: head.Repository, Open: head.Open, MovedAt: head.MovedAt}, platformAnswer(err)
}

// Machines lists what a codespace may run on.
func (p codespacePeople) Machines(ctx context.Context, by usertoken.Token, in policy.Repository, branch string) ([]codespaces.Machine, error) {
	all, err := p.client.Machines(ctx, person(by), in, branch)
	offered := make([]codespaces.Machine, len(all))
	for i, m := range all {
		offered[i] = codespaces.Machine{Name: m.Name, CPUs: m.CPUs, MemoryBytes: m.MemoryBytes}
	}
	return offered, platformAnswer(err)
}

// Create creates one. Whether GitHub has done with that is seen by its state.
func (p codespacePeople) Create(ctx context.Context, by usertoken.Token, on policy.PullRequestRef, request codespaces.Request) (codespaces.Codespace, error) {
	made, _, err := p.client.CreateCodespace(ctx, person(by), on, githubapi.CodespaceRequest{DisplayName: request.DisplayName, Machine: request.Machine, Idle: request.Idle})
	return asCodespace(made), platformAnswer(err)
}

// Codespace reads one of the person's.
func (p codespacePeople) Codespace(ctx context.Context, by usertoken.Token, name string) (codespaces.Codespace, bool, error) {
	read, found, err := p.client.Codespace(ctx, person(by), name)
	return asCodespace(read), found, platformAnswer(err)
}

// Codespaces lists the person's.
func (p codespacePeople) Codespaces(ctx context.Context, by usertoken.Token) ([]codespaces.Codespace, error) {
	all, err := p.client.OwnCodespaces(ctx, person(by))
	return eachCodespace(all), platformAnswer(err)
}

// Tunnel tells where the tunnel to one of the person's is.
func (p codespacePeople) Tunnel(ctx context.Context, by usertoken.Token, name string) (tunnel.Properties, error) {
	state, at, err := p.client.CodespaceTunnel(ctx, person(by), name)
	return tunnel.Properties{
		State: state, ServiceURI: at.ServiceURI, TunnelID: at.TunnelID, ClusterID: at.ClusterID, ConnectToken: at.ConnectToken, PortsToken: at.PortsToken,
	}, platformAnswer(err)
}

// Stop stops one of the person's.
func (p codespacePeople) Stop(ctx context.Context, by usertoken.Token, name string) error {
	return platformAnswer(p.client.StopCodespace(ctx, person(by), name))
}

// Delete deletes one of the person's.
func (p codespacePeople) Delete(ctx context.Context, by usertoken.Token, name string) error {
	return platformAnswer(p.client.DeleteCodespace(githubapi.Urgent(ctx), person(by), name))
}

func person(by usertoken.Token) githubapi.Person {
	return githubapi.Person{ID: by.Owner.ID, Token: by.Reveal()}
}

func eachCodespace(all []githubapi.Codespace) []codespaces.Codespace {
	each := make([]codespaces.Codespace, len(all))
	for i, one := range all {
		each[i] = asCodespace(one)
	}
	return each
}

func asCodespace(one githubapi.Codespace) codespaces.Codespace {
	return codespaces.Codespace{
		Name: one.Name, DisplayName: one.DisplayName, State: one.State, Pending: one.Pending, PendingWhy: one.PendingWhy,
		Owner: policy.Actor{ID: one.Owner.ID, Login: one.Owner.Login}, Payer: one.Payer.Login,
		Repository: policy.Repository{ID: one.Repository.ID, Owner: one.Repository.Owner.Login, Name: one.Repository.Name},
		CreatedAt:  one.CreatedAt,
	}
}

// platformAnswer makes of GitHub's answers what codespaces know.
func platformAnswer(err error) error {
	failure, is := errors.AsType[*githubapi.Error](err)
	if !is {
		return err
	}
	answer := &codespaces.AnswerError{Status: failure.Status, Cause: err}
	if said, is := errors.AsType[*githubapi.Refusal](err); is {
		answer.Message, answer.AllowURL = said.Message, said.AllowURL
	}
	return answer
}
