package githubsim

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// codespaceWrite is the body of a POST that creates a codespace; one of a pull request has no ref.
type codespaceWrite struct {
	Ref         string `json:"ref"`
	Geo         string `json:"geo"`
	Machine     string `json:"machine"`
	Container   string `json:"devcontainer_path"`
	Idle        *int   `json:"idle_timeout_minutes"`
	DisplayName string `json:"display_name"`
	Retention   *int   `json:"retention_period_minutes"`
}

// What may be asked for, in minutes and in characters, and what it is if nothing is asked.
const (
	leastIdle, usualIdle, mostIdle = 5, 30, 240
	mostRetention                  = 43200
	longestDisplayName             = 48
)

// locations are where machines are, by the area that is asked for.
var locations = map[string]string{"": "EastUs", "EuropeWest": "WestEurope", "SoutheastAsia": "SouthEastAsia", "UsEast": "EastUs", "UsWest": "WestUs2"}

// containers are where a repository has its devcontainer.json, if no other is asked for.
var containers = []string{".devcontainer/devcontainer.json", ".devcontainer.json"}

// makeCodespace makes one for u on a branch or commit of the repository.
func (r *Repository) makeCodespace(u *User, p *PullRequest, w codespaceWrite) (*Codespace, error) {
	s, payer := r.sim, r.payer(u)
	machine, err := r.machine(payer, w.Machine)
	if err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	commit := r.resolve(w.Ref)
	if commit == nil {
		return nil, badCodespace("The ref %s does not exist.", w.Ref)
	}
	if w.Container != "" && commit.files[w.Container] == nil {
		return nil, badCodespace("There is no devcontainer.json at %s.", w.Container)
	}
	for _, path := range containers {
		if w.Container == "" && commit.files[path] != nil {
			w.Container = path
		}
	}
	now := s.now().UTC()
	cs := &Codespace{
		sim: s, id: s.id(), environment: newGUID(), owner: u, payer: payer, repo: r, pull: p, ref: w.Ref, container: w.Container,
		location: locations[w.Geo], machine: machine, wanted: minutesOr(w.Idle, usualIdle), retention: minutesOr(w.Retention, mostRetention),
		created: now, display: w.DisplayName,
	}
	called := codespaceNames[int(cs.id)%len(codespaceNames)]
	cs.name = strings.ReplaceAll(called, " ", "-") + "-" + strings.ToLower(rand.Text()[:15])
	if cs.display == "" {
		cs.display = called
	}
	if most := s.policyOf(payer).MostRetention; most > 0 {
		cs.retention = min(cs.retention, most)
	}
	cs.setIdle()
	cs.create(now)
	s.codespaces = append(s.codespaces, cs)
	return cs, nil
}

// codespaceNames are what a codespace is called for which no name is asked.
var codespaceNames = []string{"fuzzy garbanzo", "shiny telegram", "laughing funicular", "super rotary phone", "glowing waddle", "curly space robot"}

// check refuses values that no codespace may have.
func (w codespaceWrite) check() error {
	switch {
	case locations[w.Geo] == "":
		return unprocessable(fmt.Sprintf("Invalid request.\n\nFor 'properties/geo', %q is not a possible value.", w.Geo))
	case utf8.RuneCountInString(w.DisplayName) > longestDisplayName:
		return badCodespace("Display name must be %d characters or less", longestDisplayName)
	case w.Idle != nil && (*w.Idle < leastIdle || *w.Idle > mostIdle):
		return badCodespace("The idle timeout must be between %d and %d minutes.", leastIdle, mostIdle)
	case w.Retention != nil && (*w.Retention < 0 || *w.Retention > mostRetention):
		return badCodespace("The retention period must be between 0 and %d minutes.", mostRetention)
	}
	return nil
}

// machine is the type of that name, or the smallest if none is asked for.
func (r *Repository) machine(payer *account, name string) (Machine, error) {
	offered := r.machinesFor(payer)
	if len(offered) == 0 {
		return Machine{}, badCodespace("There are currently no machine types available for this repository.")
	}
	if name == "" {
		return offered[0], nil
	}
	at := slices.IndexFunc(offered, func(m Machine) bool { return m.Name == name })
	if at < 0 {
		return Machine{}, badCodespace("The machine type %s is not available for this repository.", name)
	}
	return offered[at], nil
}

func minutesOr(given *int, usual int) time.Duration {
	if given == nil {
		return time.Duration(usual) * time.Minute
	}
	return time.Duration(*given) * time.Minute
}

// serveMakeCodespace makes one on a branch or commit.
func serveMakeCodespace(c *call) error {
	var body codespaceWrite
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Ref == "" {
		body.Ref = c.repo.branch
	}
	cs, err := c.repo.makeCodespace(c.actor.user, nil, body)
	return c.made(cs, err)
}

// serveMakePullCodespace makes one on the head of a pull request. It is one of the repository that the head is in: of the fork, where
// somebody who comes through an App needs the App as well.
func serveMakePullCodespace(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	var body codespaceWrite
	if err := c.decode(&body); err != nil {
		return err
	}
	head := p.headRepo
	switch t := c.actor.token; {
	case head.gone || head.branches[p.headRef] == "":
		return badCodespace("The head of the pull request is not there any more.")
	case head.role(c.actor.user) < roleRead:
		return notFound()
	case t.limited() && !t.covers(head):
		return notAccessible()
	}
	body.Ref = p.headRef
	cs, err := head.makeCodespace(c.actor.user, p, body)
	return c.made(cs, err)
}

// made answers with a codespace that was created: 202 if GitHub has not done with that yet.
func (c *call) made(cs *Codespace, err error) error {
	switch {
	case err != nil:
		return err
	case c.sim.codespaceKnobs.Retry:
		return c.reply(http.StatusAccepted, cs.json())
	}
	return c.reply(http.StatusCreated, cs.json())
}
