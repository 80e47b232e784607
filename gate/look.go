package gate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// look is one decision in the making. The pull request may be read several
// times for it; what people may do is asked once.
type look struct {
	*Gate
	ref      policy.PullRequestRef
	snapshot policy.Snapshot
	// at is when the reading was begun, or confirmed; read when it was begun, and known
	// which kill switches were on then.
	at, read time.Time
	known    map[string]bool
	// open is true if the check is known to say open already.
	open bool
	// likely are the questions that the decision is expected to have.
	likely    policy.Questions
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

// first reads the pull request, and with it what those may do who voted on it
// and whom the decision will most likely ask about. If it was read before and
// nothing is known to have happened since, GitHub is asked what has.
func (l *look) first(ctx context.Context) error {
	l.standings = map[int64]standing{}
	last, known := l.seen.last(l.ref)
	if !known {
		return l.again(ctx)
	}
	l.likely = l.guess(ctx, last)
	if last.stale || len(last.snapshot.SameHead) > 0 {
		// That another pull request has left the head is not seen on this one.
		return l.again(ctx)
	}
	var moved bool
	var answers map[int64]standing
	var reads errgroup.Group
	reads.Go(func() (err error) {
		moved, err = l.GitHub.Moved(ctx, last.snapshot)
		return err
	})
	reads.Go(func() error {
		// An error is none here: what is missing is asked for when it is needed.
		answers, _ = l.ask(ctx, l.likely.People, l.likely.Asks)
		return nil
	})
	l.snapshot, l.at, l.read, l.known = last.snapshot, l.Now(), last.read, last.known
	if err := reads.Wait(); err != nil {
		return err
	}
	if moved {
		return l.again(ctx)
	}
	maps.Copy(l.standings, answers)
	return nil
}

// again reads the pull request whole.
func (l *look) again(ctx context.Context) error {
	if l.Switch == nil {
		return errNoSwitch
	}
	known, err := l.Switch.Known(ctx)
	if err != nil {
		return err
	}
	at := l.Now()
	snapshot, answers, err := l.GitHub.Snapshot(ctx, l.ref, l.likely)
	l.snapshot, l.at, l.read, l.known = snapshot, at, at, known
	for id, answer := range answers {
		l.standings[id] = standing{answer, l.likely.Asks}
	}
	return err
}

// guess lists the questions that the decision will most likely have, by the last
// reading and the votes there are now.
func (l *look) guess(ctx context.Context, last sighting) policy.Questions {
	state, err := l.Workflow.State(ctx, l.ref.Key())
	if err != nil {
		return policy.Questions{}
	}
	in := policy.Input{Snapshot: last.snapshot, Votes: state.Votes, Heads: state.Heads}
	in.Snapshot.PullRequest.HeadSHA = state.Request.Commit
	for _, text := range last.snapshot.Policies {
		in.Policies = append(in.Policies, l.seen.parse(text))
	}
	// The comments of the last reading do not have those that were made since.
	for i, vote := range in.Votes {
		if in.Snapshot.Gone(vote.Source) {
			in.Votes[i].Source = policy.SourceReview
		}
	}
	questions, err := in.Questions()
	if err != nil {
		return policy.Questions{}
	}
	return questions
}

// judge decides on what was read, and asks for what is missing for that.
func (l *look) judge(ctx context.Context) (policy.Decision, error) {
	pr := l.snapshot.PullRequest
	if !pr.Open {
		return policy.Closed(pr.HeadSHA, "the pull request is closed; reopen it to have it decided"), nil
	}
	in, err := l.input(ctx, policy.Input.Questions)
	if err != nil {
		return policy.Decision{}, err
	}
	return policy.Decide(in), nil
}

// input is what was read, with what is missing to judge it asked for.
func (l *look) input(ctx context.Context, questions func(policy.Input) (policy.Questions, error)) (policy.Input, error) {
	if l.snapshot.Torn() {
		return policy.Input{}, fmt.Errorf("%w: %s", errMoved, l.snapshot.Incomplete())
	}
	in := policy.Input{Snapshot: l.snapshot, Standings: map[int64]policy.Standing{}, Unchanged: map[string]bool{}}
	var err error
	if in.Policies, err = l.policies(ctx, l.snapshot); err != nil {
		return policy.Input{}, err
	}
	state, err := l.recordSeen(ctx, l.snapshot)
	if err != nil {
		return policy.Input{}, err
	}
	if lagging(l.snapshot, state.Votes, l.Now()) {
		return policy.Input{}, errMoved
	}
	in.Votes, in.Heads = state.Votes, state.Heads
	if in.Labels, err = l.labels(ctx); err != nil {
		return policy.Input{}, err
	}
	asked, err := questions(in)
	if err != nil {
		return policy.Input{}, err
	}
	if err := l.answer(ctx, &in, asked); err != nil {
		return policy.Input{}, err
	}
	if in.Deputies, err = l.deputies(ctx, in.Votes); err != nil {
		return policy.Input{}, err
	}
	// Last, so that nothing opens on what was true before the rest was asked for.
	if in.Stops, err = l.stops(ctx, in.Policies); errors.Is(err, killswitch.ErrUnsettled) {
		return policy.Input{}, fmt.Errorf("%w: %w", errMoved, err)
	}
	if err != nil {
		return policy.Input{}, err
	}
	l.seen.remember(sighting{snapshot: l.snapshot, read: l.read, known: l.known})
	in.Now = l.Now()
	return in, nil
}

// deputies are the sandboxes that could have given one of the votes, or lifted it since.
func (l *look) deputies(ctx context.Context, votes []policy.Vote) ([]policy.Deputy, error) {
	if l.Store == nil || len(votes) == 0 {
		return nil, nil
	}
	first := slices.MinFunc(votes, func(a, b policy.Vote) int { return a.At.Compare(b.At) })
	return l.Store.Deputies(ctx, l.ref.Repository, first.At.Add(-policy.ClocksApart))
}

// stops are the kill switches that reach the pull request.
func (l *look) stops(ctx context.Context, sources []policy.PolicySource) ([]policy.Stop, error) {
	return l.Switch.Stops(ctx, killswitch.Sighting{
		Ref: l.ref, Labels: l.snapshot.PullRequest.Labels, Flags: l.snapshot.Flags, Rules: policy.JoinSwitchRules(sources), Known: l.known,
	})
}

var errNoSwitch = errors.New("there is nobody to ask for kill switches")

// labels are those that classified the pull request when it was decided last. A
// label that vanishes from the repository leaves no trace on the pull request.
func (l *look) labels(ctx context.Context) ([]string, error) {
	if l.Store == nil {
		return nil, nil
	}
	last, err := l.Store.LastPosted(ctx, l.ref)
	l.open = last.Decision.Outcome == policy.OutcomeOpen && last.Digest != ""
	return last.Decision.Labels, err
}

// fresh reports whether the reading is young enough to open the gate on: a switch
// in another thread of GitHub's does not move the pull request.
func (l *look) fresh(decision policy.Decision) bool {
	if decision.Outcome != policy.OutcomeOpen {
		return true
	}
	now := l.Now()
	return now.Sub(l.at) <= freshness && (l.open || now.Sub(l.read) <= freshness)
}

// answer has GitHub answer the questions.
func (l *look) answer(ctx context.Context, in *policy.Input, questions policy.Questions) error {
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
	maps.Copy(l.standings, asked)
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
