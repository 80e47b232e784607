package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// look is one decision in the making. The pull request may be read several
// times for it; what people may do is asked once.
type look struct {
	*Gate
	ref      policy.PullRequestRef
	snapshot policy.Snapshot
	// at is when the reading was begun.
	at        time.Time
	standings map[int64]standing
}

// standing is what a person may do, with what was asked.
type standing struct {
	policy.Standing
	asked policy.Ask
}

// answers reports whether it answers what is asked about the person. Without the
// role, GitHub answers about a name: it must be the one that they have now.
func (s standing) answers(person policy.Actor, ask policy.Ask) bool {
	return s.asked.Covers(ask) && (s.asked.Permission || s.Login == person.Login)
}

// first reads the pull request and, side by side, asks what those may do who
// voted on it, as far as they are known.
func (l *look) first(ctx context.Context) error {
	last, known := l.seen.last(l.ref)
	guessed := map[int64]standing{}
	var reads errgroup.Group
	reads.Go(func() error {
		if !known || last.stale {
			return l.again(ctx)
		}
		l.snapshot, l.at = last.snapshot, l.Now()
		moved, err := l.GitHub.Moved(ctx, last.snapshot)
		if err != nil || !moved {
			return err
		}
		return l.again(ctx)
	})
	if known {
		reads.Go(func() error {
			guessed = l.guess(ctx, last)
			return nil
		})
	}
	err := reads.Wait()
	l.standings = guessed
	return err
}

// again reads the pull request whole.
func (l *look) again(ctx context.Context) error {
	at := l.Now()
	snapshot, err := l.GitHub.Snapshot(ctx, l.ref)
	l.snapshot, l.at = snapshot, at
	return err
}

// guess asks what the voters may do whom the decision will most likely ask
// about. An error here is none: what is missing is asked for when it is needed.
func (l *look) guess(ctx context.Context, last sighting) map[int64]standing {
	state, err := l.Workflow.State(ctx, l.ref.Key())
	if err != nil {
		return map[int64]standing{}
	}
	in := policy.Input{Snapshot: last.snapshot, Votes: state.Votes, Heads: state.Heads}
	in.Snapshot.PullRequest.HeadSHA = state.Request.Commit
	for _, text := range last.snapshot.Policies {
		in.Policies = append(in.Policies, policy.LoadPolicy(text))
	}
	questions, err := in.Questions()
	if err != nil {
		return map[int64]standing{}
	}
	found, err := l.ask(ctx, questions.People, questions.Asks)
	if err != nil {
		return map[int64]standing{}
	}
	return found
}

// judge decides on what was read, and asks for what is missing for that.
func (l *look) judge(ctx context.Context) (policy.Decision, error) {
	pr := l.snapshot.PullRequest
	if !pr.Open {
		return policy.Closed(pr.HeadSHA, "the pull request is closed; reopen it to have it decided"), nil
	}
	if l.snapshot.Torn() {
		return policy.Decision{}, fmt.Errorf("%w: %s", errMoved, l.snapshot.Incomplete())
	}
	in := policy.Input{Snapshot: l.snapshot, Standings: map[int64]policy.Standing{}, Unchanged: map[string]bool{}}
	var err error
	if in.Policies, err = l.policies(ctx, l.snapshot); err != nil {
		return policy.Decision{}, err
	}
	state, err := l.recordSeen(ctx, l.snapshot)
	if err != nil {
		return policy.Decision{}, err
	}
	if lagging(l.snapshot, state.Votes, l.Now()) {
		return policy.Decision{}, errMoved
	}
	in.Votes, in.Heads = state.Votes, state.Heads
	if err := l.answer(ctx, &in); err != nil {
		return policy.Decision{}, err
	}
	l.seen.remember(l.snapshot)
	in.Now = l.Now()
	return policy.Decide(in), nil
}

// answer has GitHub answer the input's questions.
func (l *look) answer(ctx context.Context, in *policy.Input) error {
	questions, err := in.Questions()
	if err != nil {
		return err
	}
	shown := in.Snapshot.Shown()
	if slices.ContainsFunc(questions.People, func(p policy.Actor) bool { return !slices.Contains(shown, p) }) {
		// Whose name is not known for sure is asked about by their number, which
		// only the question for the role tells.
		questions.Asks.Permission = true
	}
	missing := slices.DeleteFunc(slices.Clone(questions.People), func(person policy.Actor) bool {
		known, ok := l.standings[person.ID]
		return ok && known.answers(person, questions.Asks)
	})
	asked, err := l.ask(ctx, missing, questions.Asks)
	if err != nil {
		return err
	}
	for id, answer := range asked {
		l.standings[id] = answer
	}
	for _, person := range questions.People {
		in.Standings[person.ID] = l.standings[person.ID].Standing
	}
	pr := in.Snapshot.PullRequest
	for _, commit := range questions.Commits {
		if in.Unchanged[commit], err = l.GitHub.SameChange(ctx, l.ref.Repository, pr.BaseBranch, commit, pr.HeadSHA); err != nil {
			return err
		}
	}
	return nil
}

// maxQuestions bounds how many people are asked about at once.
const maxQuestions = 8

// ask asks GitHub what each of the people may do.
func (l *look) ask(ctx context.Context, people []policy.Actor, ask policy.Ask) (map[int64]standing, error) {
	answers := make([]policy.Standing, len(people))
	reads, readCtx := errgroup.WithContext(ctx)
	reads.SetLimit(maxQuestions)
	for i, person := range people {
		reads.Go(func() (err error) {
			answers[i], err = l.GitHub.Standing(readCtx, l.ref.Repository, person, ask)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	standings := make(map[int64]standing, len(people))
	for i, person := range people {
		standings[person.ID] = standing{answers[i], ask}
	}
	return standings, nil
}

// policies parses the files that govern the pull request and makes sure that
// the teams they name exist.
func (l *look) policies(ctx context.Context, s policy.Snapshot) ([]policy.PolicySource, error) {
	var sources []policy.PolicySource
	for _, text := range s.Policies {
		source, err := l.load(ctx, text)
		if err != nil {
			return nil, err
		}
		if source.Fault != nil && l.changes(s, text.Place) {
			content, err := l.GitHub.Content(ctx, l.ref.Repository, text.Path, s.PullRequest.HeadSHA)
			if err != nil {
				return nil, err
			}
			repair, err := l.load(ctx, policy.PolicyText{Place: text.Place, Content: content})
			if err != nil {
				return nil, err
			}
			source.Repaired = content != nil && repair.Fault == nil
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// changes reports whether the pull request changes the very file at that place.
func (l *look) changes(s policy.Snapshot, place policy.Place) bool {
	return place.Repository == l.ref.Repository.String() && place.Branch == s.PullRequest.BaseBranch && s.Touches(place.Path)
}

func (l *look) load(ctx context.Context, text policy.PolicyText) (policy.PolicySource, error) {
	source := policy.LoadPolicy(text)
	// A file with faults is the zero file and names no team.
	unknown, err := l.GitHub.UnknownTeams(ctx, l.ref.Repository, source.File.Teams())
	if len(unknown) > 0 {
		source.Fault = &policy.UnknownTeamsError{Teams: unknown}
	}
	return source, err
}
