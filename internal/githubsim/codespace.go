package githubsim

import (
	"slices"
	"time"
)

// Codespace is a machine in GitHub's cloud that works on a branch or on the head of a pull request. It belongs to the person who made
// it. Its times are of the wall clock, by which its states pass; they pass when somebody looks.
type Codespace struct {
	sim         *Sim
	id          int64
	name        string // GitHub's
	display     string
	environment string
	owner       *User
	payer       *account // the organization, which has a say then, or the owner
	repo        *Repository
	pull        *PullRequest // nil for one of a branch
	ref         string
	container   string // the path of its devcontainer.json, or empty
	location    string
	machine     Machine
	idle        time.Duration // without anything happening, until it stops
	wanted      time.Duration // what idle was asked to be
	retention   time.Duration // stopped, until it is deleted
	notice      string        // that idle is not as it was asked to be
	created     time.Time
	started     time.Time // the last time; zero: never
	used        time.Time // when something happened in it
	state       string
	since       time.Time // it is in this state
	next        []turn    // the nearest first
	pending     string    // why it can only be deleted, or empty
	gone        bool
}

// turn is a state to come.
type turn struct {
	at    time.Time
	state string
}

// The states that codespaces pass here, of those that GitHub has.
const (
	queued       = "Queued"
	provisioning = "Provisioning"
	awaiting     = "Awaiting"
	available    = "Available"
	failed       = "Failed"
	starting     = "Starting"
	shuttingDown = "ShuttingDown"
	shutdown     = "Shutdown"
	deleted      = "Deleted"
)

// longestRun is after how long a codespace stops, however busy it is.
const longestRun = 12 * time.Hour

// Codespaces are those that exist, the oldest first.
func (s *Sim) Codespaces() []*Codespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codespacesNow()
}

// codespacesNow lets time pass for all of them, and forgets those that are gone.
func (s *Sim) codespacesNow() []*Codespace {
	for _, cs := range s.codespaces {
		cs.pass(s.now().UTC())
	}
	s.codespaces = slices.DeleteFunc(s.codespaces, func(cs *Codespace) bool { return cs.gone })
	return slices.Clone(s.codespaces)
}

// codespace is the one of that name, or nil.
func (s *Sim) codespace(name string) *Codespace {
	for _, cs := range s.codespacesNow() {
		if cs.name == name {
			return cs
		}
	}
	return nil
}

// pass lets everything happen that was to happen by now.
func (cs *Codespace) pass(now time.Time) {
	for !cs.gone {
		t := cs.coming()
		if t.at.IsZero() || now.Before(t.at) {
			return
		}
		if len(cs.next) > 0 {
			cs.next = cs.next[1:]
		}
		cs.become(t.state, t.at)
	}
}

// coming is what happens next if nobody does anything, or the zero turn.
func (cs *Codespace) coming() turn {
	switch {
	case len(cs.next) > 0:
		return cs.next[0]
	case cs.pending != "":
		return turn{}
	case cs.state == available && cs.used.Add(cs.idle).Before(cs.started.Add(longestRun)):
		return turn{cs.used.Add(cs.idle), shuttingDown}
	case cs.state == available:
		return turn{cs.started.Add(longestRun), shuttingDown}
	case cs.state == shutdown:
		return turn{cs.since.Add(cs.retention), deleted}
	}
	return turn{}
}

func (cs *Codespace) become(state string, at time.Time) {
	cs.state, cs.since = state, at
	switch state {
	case available:
		cs.started, cs.used = at, at
	case shuttingDown:
		cs.next = []turn{{at.Add(cs.sim.codespaceKnobs.stop()), shutdown}}
	case deleted:
		cs.gone = true
	}
}

// create begins its life: it is queued, for as long again if GitHub has to try twice, gets a machine, and waits for its container.
func (cs *Codespace) create(now time.Time) {
	knobs := cs.sim.codespaceKnobs
	begin, whole, end := now, knobs.create(), available
	if knobs.Retry {
		begin = now.Add(whole)
	}
	if knobs.Fail {
		end = failed
	}
	cs.become(queued, now)
	cs.next = []turn{{begin.Add(whole / 5), provisioning}, {begin.Add(whole * 4 / 5), awaiting}, {begin.Add(whole), end}}
}

// start wakes one that is stopped; the organization's policy counts anew.
func (cs *Codespace) start(now time.Time) error {
	switch {
	case cs.pending != "":
		return conflict(cs.pending)
	case slices.Contains([]string{available, queued, provisioning, awaiting, starting}, cs.state):
		return conflict("The codespace is already running.")
	case !slices.ContainsFunc(cs.repo.machinesFor(cs.payer), func(m Machine) bool { return m.Name == cs.machine.Name }):
		return badCodespace("The machine type %s is no longer allowed for this organization.", cs.machine.Name)
	}
	cs.become(starting, now)
	cs.setIdle()
	cs.next = []turn{{now.Add(cs.sim.codespaceKnobs.start()), available}}
	return nil
}

// stop ends what runs in it; one that is stopped stays so.
func (cs *Codespace) stop(now time.Time) error {
	switch {
	case cs.pending != "":
		return forbidden(cs.pending)
	case cs.state != shutdown && cs.state != shuttingDown:
		cs.become(shuttingDown, now)
	}
	return nil
}

// beingDeleted is why nothing else can be done then.
const beingDeleted = "This codespace is being deleted."

// remove deletes it, a while later. Until then it is there, and asking again changes nothing.
func (cs *Codespace) remove(now time.Time) {
	if cs.pending == beingDeleted {
		return
	}
	cs.pending = beingDeleted
	cs.next = []turn{{now.Add(cs.sim.codespaceKnobs.remove()), deleted}}
}

// Name is the one that GitHub gave it.
func (cs *Codespace) Name() string { return cs.name }

// DisplayName is the one that it was asked to have.
func (cs *Codespace) DisplayName() string { return cs.display }

// Owner is the person who made it.
func (cs *Codespace) Owner() *User { return cs.owner }

// Payer is the login of who pays for it: its owner, or an organization, which may list, stop and delete it then.
func (cs *Codespace) Payer() string { return cs.payer.login }

// Exists says whether it is not deleted yet; State is as the API shows it, and Deleted after that.
func (cs *Codespace) Exists() bool { return cs.State() != deleted }

// State is Queued, Provisioning, Awaiting, Available, Failed, Starting, ShuttingDown, Shutdown or Deleted, or what SetState said.
func (cs *Codespace) State() string {
	cs.sim.mu.Lock()
	defer cs.sim.mu.Unlock()
	cs.sim.codespacesNow()
	return cs.state
}

// Use has something happen in the codespace, such as output in a terminal: it is not idle from then on. It does not last longer than
// twelve hours by that.
func (cs *Codespace) Use() {
	cs.sim.mu.Lock()
	defer cs.sim.mu.Unlock()
	cs.sim.codespacesNow()
	cs.used = cs.sim.now().UTC()
}

// SetState puts the codespace into a state, whatever it was in, and there it stays until somebody does something, or until it is idle
// or not retained any more. GitHub has states that nothing leads to here, such as Unavailable and Archived.
func (cs *Codespace) SetState(state string) {
	cs.sim.mu.Lock()
	defer cs.sim.mu.Unlock()
	cs.sim.codespacesNow()
	cs.become(state, cs.sim.now().UTC())
	cs.next = nil
}

// SetPending begins an operation on the codespace, for that reason: it can only be deleted until SetPending("").
func (cs *Codespace) SetPending(reason string) {
	cs.sim.mu.Lock()
	defer cs.sim.mu.Unlock()
	cs.sim.codespacesNow()
	cs.pending = reason
}
