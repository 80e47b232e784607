package githubsim

import (
	"slices"
	"time"
)

// autoMerge is a pull request that GitHub merges by itself.
type autoMerge struct {
	pull *PullRequest
	by   actor
	at   time.Time
	spec mergeSpec
}

// wait notes whether something in the repository waits for a change: an armed pull request, or an entry of a paused queue.
func (r *Repository) wait() {
	held := slices.ContainsFunc(r.groups, func(g *MergeGroup) bool { return g.held })
	if len(r.armed) > 0 || held {
		r.sim.waiting[r] = true
	} else {
		delete(r.sim.waiting, r)
	}
}

// look has GitHub look again at what waits in the repository, after anything that may let it go on. It does so a moment later, once
// whoever holds the state is through with it.
func (s *Sim) look(r *Repository) {
	if !s.waiting[r] || s.web.closed {
		return
	}
	s.looks[r] = true
	if !s.looking {
		s.looking = true
		s.work.Go(s.lookAround)
	}
}

// lookAll is look for every repository of an organization.
func (s *Sim) lookAll(o *Organization) {
	for r := range s.waiting {
		if r.org == o {
			s.look(r)
		}
	}
}

// lookAround takes one repository at a time, and lets requests come between.
func (s *Sim) lookAround() {
	for s.lookOnce() {
	}
}

func (s *Sim) lookOnce() (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.looks {
		delete(s.looks, r)
		r.letGoOn() // what is merged may let others go on
		return true
	}
	s.looking = false
	s.web.tell()
	return false
}

// letGoOn tries what waits in the repository.
func (r *Repository) letGoOn() {
	for _, g := range slices.Clone(r.groups) {
		if g.held {
			g.try()
		}
	}
	for _, p := range slices.Clone(r.armed) {
		if p.auto != nil {
			p.autoMerge()
		}
	}
}
