package githubsim

// Mutation is a fault of the simulator itself, for mutation tests: it makes the simulated GitHub lie, so that a suite can prove
// that it would notice. No mutation is a way in which GitHub is known to behave.
type Mutation string

// The mutations.
const (
	NoMutation        Mutation = ""
	WrongAppOnRun     Mutation = "wrong app on run"    // new check runs are stored as if another App had created them
	OldSHA            Mutation = "old SHA"             // a pull request that is pushed to goes on showing its previous head when it is read
	NeutralForFailure Mutation = "neutral for failure" // the conclusion failure is stored as neutral
	DroppedSecondPage Mutation = "dropped second page" // lists end after the first page, which names no next one
)

// SetMutation breaks the simulator in one way from now on; NoMutation mends it.
func (s *Sim) SetMutation(m Mutation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m {
	case NoMutation, WrongAppOnRun, OldSHA, NeutralForFailure, DroppedSecondPage:
		s.mutation = m
	default:
		panic("githubsim: no mutation " + string(m))
	}
}

// runApp is the App that a run is stored under.
func (s *Sim) runApp(app *App) *App {
	if s.mutation != WrongAppOnRun {
		return app
	}
	if s.impostor == nil {
		s.impostor = &App{
			sim: s, id: s.id(), slug: "impostor", permissions: map[string]string{"metadata": "read"}, created: s.tick(),
			bot: s.createUser("impostor[bot]", "Bot", 0),
		}
	}
	return s.impostor
}

// shownHead is the head that reading the pull request shows; webhooks and merging always go by the true one.
func (p *PullRequest) shownHead() string {
	if p.repo.sim.mutation == OldSHA && p.previous != "" {
		return p.previous
	}
	return p.head
}

// mutated is the conclusion that is stored for the one that was given.
func (s *Sim) mutated(w checkWrite) checkWrite {
	if s.mutation == NeutralForFailure && w.Conclusion != nil && *w.Conclusion == "failure" {
		w.Conclusion = new("neutral")
	}
	return w
}

// cutOff is a page that, under DroppedSecondPage, says that nothing comes after it, in whichever direction.
func (s *Sim) cutOff(page *connection) *connection {
	if s.mutation != DroppedSecondPage {
		return page
	}
	last := *page
	last.hasNext, last.hasPrev = false, false
	return &last
}
