package killswitch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// releaseWait is how long a release waits for gates that are closed: they may as well be
// decided after it. For one that may show an old green it always waits.
const releaseWait = 5 * time.Minute

// ask keeps that somebody asks to start again, and begins to once enough have.
func (k *GitHubKillSwitch) ask(ctx context.Context, scope Scope, request Request) error {
	sw, err := k.config.Store.Switch(ctx, scope)
	if err != nil {
		return fmt.Errorf("look up the kill switch of %s: %w", scope, err)
	}
	if sw.State == StateOff {
		return ErrNotActive
	}
	rules, err := k.rules(ctx, scope)
	if err != nil {
		return err
	}
	why, err := k.mayRelease(ctx, scope, rules, request)
	if err != nil {
		return err
	}
	if why != "" {
		if err := k.config.Store.Audit(ctx, k.entry("killswitch.off_refused", &sw, request.By, why)); err != nil {
			return err
		}
		return &RefusedError{Why: why}
	}
	sw, err = k.config.Store.Change(ctx, scope, true, func(sw *Switch) (bool, []audit.Entry) {
		if !sw.Ask(request) {
			return false, nil
		}
		return true, []audit.Entry{k.entry("killswitch.off_asked", sw, request.By, request.Reason)}
	})
	if err != nil {
		return fmt.Errorf("keep that %s asked to start %s again: %w", request.By, scope, err)
	}
	if sw.State != StateOn {
		return nil
	}
	missing, err := k.missing(ctx, &sw, rules)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &WaitingError{Missing: missing}
	}
	return k.beginRelease(ctx, scope, request.By)
}

// mayRelease says why the person may not start again, or returns "". Nobody starts
// their own pull request again, and what runs in a sandbox starts nothing.
func (k *GitHubKillSwitch) mayRelease(ctx context.Context, scope Scope, rules policy.SwitchRules, request Request) (string, error) {
	person := request.By
	if why, err := k.couldBeSaidFor(ctx, scope, request); err != nil || why != "" {
		return why, err
	}
	standing, err := k.standing(ctx, scope, rules, person)
	if err != nil {
		return "", err
	}
	if why := rules.MayRelease(person, standing); why != "" || scope.Number == 0 {
		return why, nil
	}
	pr, found, err := k.config.GitHub.Issue(ctx, scope.Repository, scope.Number)
	switch {
	case err != nil:
		return "", fmt.Errorf("find out who opened %s: %w", scope, err)
	case !found || !pr.Author.Known():
		return "it is not known who opened " + scope.String(), nil
	case pr.Author.ID == person.ID:
		return person.String() + " opened the pull request", nil
	default:
		return "", nil
	}
}

// couldBeSaidFor says which sandbox could have asked in the person's name, or returns "":
// one in the repository in which it was asked, or in the one that the scope is asked about in.
func (k *GitHubKillSwitch) couldBeSaidFor(ctx context.Context, scope Scope, request Request) (string, error) {
	if k.config.Deputies == nil {
		return "", nil
	}
	home, err := k.home(ctx, scope)
	if err != nil && !gone(err) {
		return "", err
	}
	for _, repository := range []policy.Repository{request.said, home} {
		if repository.ID == 0 {
			continue // there is none, in which nothing is asked
		}
		deputies, err := k.config.Deputies(ctx, repository, request.At.Add(-policy.ClocksApart))
		if err != nil {
			return "", err
		}
		if why := policy.SaidByDeputy(deputies, request.By, request.At); why != "" {
			return why, nil
		}
	}
	return "", nil
}

func (k *GitHubKillSwitch) standing(ctx context.Context, scope Scope, rules policy.SwitchRules, person policy.Actor) (policy.Standing, error) {
	repository, err := k.home(ctx, scope)
	if gone(err) {
		return policy.Standing{}, &RefusedError{Why: fmt.Sprintf("%s has no repository %s that the App can read, whose people may", scope, k.config.OrganizationRepository)}
	}
	if err != nil {
		return policy.Standing{}, err
	}
	standing, err := k.config.GitHub.Standing(ctx, repository, person, rules.Asks())
	if err != nil {
		return policy.Standing{}, fmt.Errorf("find out what %s may do: %w", person, err)
	}
	return standing, nil
}

// missing says who must still ask. What those may do who have is asked anew.
func (k *GitHubKillSwitch) missing(ctx context.Context, sw *Switch, rules policy.SwitchRules) ([]string, error) {
	var asked []policy.Releaser
	for _, request := range sw.Requests {
		standing, err := k.standing(ctx, sw.Scope, rules, request.By)
		if err != nil {
			return nil, err
		}
		asked = append(asked, policy.Releaser{Actor: request.By, Standing: standing})
	}
	return rules.Missing(asked), nil
}

func (k *GitHubKillSwitch) beginRelease(ctx context.Context, scope Scope, by policy.Actor) error {
	_, err := k.config.Store.Change(ctx, scope, true, func(sw *Switch) (bool, []audit.Entry) {
		if !sw.BeginRelease(k.config.Now()) {
			return false, nil
		}
		return true, []audit.Entry{k.entry("killswitch.releasing", sw, by, "the gates are decided anew before the lock is lifted")}
	})
	if err != nil {
		return fmt.Errorf("begin to start %s again: %w", scope, err)
	}
	return nil
}

// release takes the steps that can be taken now to start again: every gate decided
// anew, label off, lock lifted and read back, the record off. It returns when to go
// on; zero once it is done.
func (k *GitHubKillSwitch) release(ctx context.Context, sw Switch) (time.Time, error) {
	if err := k.config.Gates.MarkGates(ctx, sw.Scope, sw.mark()); err != nil {
		return time.Time{}, err
	}
	left, green, err := k.config.Gates.MarkedGates(ctx, sw.Scope)
	if err != nil {
		return time.Time{}, err
	}
	if now := k.config.Now(); green > 0 || left > 0 && now.Before(sw.ReleasingAt.Add(releaseWait)) {
		// Gates are open already that nothing else holds. The last one to be decided wakes
		// this; to look at GitHub more often would take from what the gates may spend.
		return now.Add(look), k.enforceLock(ctx, sw)
	}
	if again, err := k.unlabel(ctx, sw); err != nil || again {
		return k.config.Now(), err
	}
	if err := k.setLock(ctx, sw, false); err != nil {
		return time.Time{}, err
	}
	if err := k.resumeQueue(ctx, sw); err != nil {
		return time.Time{}, err
	}
	// Whoever threw it again meanwhile finds it on.
	sw, err = k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		if now.State != StateReleasing || now.Period != sw.Period || !now.Release(k.config.Now()) {
			return false, nil
		}
		return true, []audit.Entry{k.entry("killswitch.off", now, policy.Actor{}, "on for "+lasted(now.Lasted(k.config.Now())))}
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("turn the kill switch of %s off: %w", sw.Scope, err)
	}
	if sw.State != StateOff {
		// The lock is put back with the rest.
		return k.config.Now(), nil
	}
	return time.Time{}, k.finish(ctx, sw)
}

// finish does what is left once the switch is off: auto-merges go on, and the issue is
// closed.
func (k *GitHubKillSwitch) finish(ctx context.Context, sw Switch) error {
	if !sw.Unfinished {
		return nil
	}
	if err := k.config.Gates.ResumeGates(ctx, sw.Scope); err != nil {
		return err
	}
	if err := k.closeIssue(ctx, sw); err != nil {
		return err
	}
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(sw *Switch) (bool, []audit.Entry) {
		was := sw.Unfinished && sw.State == StateOff
		sw.Unfinished = sw.Unfinished && !was
		return was, nil
	})
	return err
}

// unlabel takes the label off everything that carries it. What was put somewhere since
// it was first asked for the end is a stop that no webhook has told of yet: the switch
// is thrown again then, and nothing is taken off.
func (k *GitHubKillSwitch) unlabel(ctx context.Context, sw Switch) (again bool, _ error) {
	marked, err := k.marked(ctx, sw)
	if err != nil {
		return false, err
	}
	for _, n := range marked {
		if again, err := k.putSince(ctx, sw, n); err != nil || again {
			return again, err
		}
	}
	for _, n := range marked {
		if err := k.config.GitHub.RemoveLabel(ctx, n.Carrier.Repository, n.Carrier.Number, n.Carrier.Label); err != nil && !gone(err) {
			return false, fmt.Errorf("take the label %s off %s: %w", n.Carrier.Label, n.Carrier, err)
		}
	}
	return false, nil
}

// marked is all that may carry the label of the switch.
func (k *GitHubKillSwitch) marked(ctx context.Context, sw Switch) ([]Notice, error) {
	var all []Notice
	if sw.Carrier.Number != 0 {
		all = append(all, Notice{Scope: sw.Scope, Carrier: sw.Carrier})
	}
	if sw.Number != 0 {
		return all, nil
	}
	home, err := k.home(ctx, sw.Scope)
	if err != nil {
		return nil, err
	}
	for _, label := range k.labelsOf(sw) {
		issues, err := k.config.GitHub.FindIssues(ctx, home, label)
		if err != nil {
			return nil, fmt.Errorf("list the issues with the label %s in %s: %w", label, home, err)
		}
		for _, issue := range issues {
			n := Notice{Scope: sw.Scope, Carrier: Carrier{Repository: home, Number: issue.Number, Label: label}, Title: issue.Title}
			if !sw.Carrier.is(n.Carrier) {
				all = append(all, n)
			}
		}
	}
	return all, nil
}

// putSince throws the switch again if its label was put there since it was first asked
// for the end, and reports whether it was. What the App put back on the carrier is no
// stop.
func (k *GitHubKillSwitch) putSince(ctx context.Context, sw Switch, n Notice) (bool, error) {
	by, at, found, err := k.config.GitHub.WhoPut(ctx, n.Carrier, sw.first())
	if err != nil {
		return false, fmt.Errorf("find out who put the label %s on %s: %w", n.Carrier.Label, n.Carrier, err)
	}
	if !found {
		return false, nil
	}
	n.By, n.At, n.HeardAt = by, at, k.config.Now()
	if err := k.Put(ctx, n); err != nil {
		return false, err
	}
	now, err := k.config.Store.Switch(ctx, sw.Scope)
	return now.State == StateOn, err
}

// closeIssue tells what it was and closes the issue; a pull request stays open.
func (k *GitHubKillSwitch) closeIssue(ctx context.Context, sw Switch) error {
	carrier := sw.Carrier
	if carrier.Number == 0 {
		return nil
	}
	about := policy.PullRequestRef{Repository: carrier.Repository, Number: carrier.Number}
	var errs []error
	if sw.Number == 0 {
		errs = append(errs, k.config.GitHub.PutIssueSection(ctx, carrier.Repository, carrier.Number, sw.section(k.config.Now(), "", nil, 0)))
	}
	errs = append(errs, k.config.GitHub.Reply(ctx, about, fmt.Sprintf("killswitch:%s:%d:off", sw.Key(), sw.Period), sw.Since, sw.farewell()))
	if sw.Number == 0 {
		errs = append(errs, k.config.GitHub.SetIssueState(ctx, carrier.Repository, carrier.Number, false))
	}
	for _, more := range sw.Opened {
		errs = append(errs,
			k.config.GitHub.PutIssueSection(ctx, more.Repository, more.Number, sw.section(k.config.Now(), "", nil, 0)),
			k.config.GitHub.SetIssueState(ctx, more.Repository, more.Number, false))
	}
	for _, err := range errs {
		if err != nil && !gone(err) && !refused(err) {
			return errors.Join(errs...)
		}
	}
	return nil
}
