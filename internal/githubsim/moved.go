package githubsim

import (
	"fmt"
	"net/http"
	"strings"
)

// Archive makes the repository read-only: whatever the API would change in it is a 403. Apps hear repository.archived.
func (r *Repository) Archive() { r.setArchived(true) }

// Unarchive ends that.
func (r *Repository) Unarchive() { r.setArchived(false) }

func (r *Repository) setArchived(archived bool) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.archived == archived {
		return
	}
	r.archived = archived
	action := "unarchived"
	if archived {
		action = "archived"
	}
	r.sim.tick()
	r.sim.emit(r, "repository", action, r.sim.users["ghost-owner"], obj{})
}

// errArchived is what GitHub says of every change of an archived repository.
func errArchived() error {
	return refuse(http.StatusForbidden, "Repository was archived so is read-only.")
}

// Rename gives the repository another name. It keeps its number, and the old name leads on to it until another repository takes that.
// Apps hear repository.renamed.
func (r *Repository) Rename(name string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	was := r.name
	r.move(r.owner, name)
	r.sim.tick()
	r.sim.emit(r, "repository", "renamed", r.sim.users["ghost-owner"], obj{"changes": obj{"repository": obj{"name": obj{"from": was}}}})
}

// Transfer moves the repository to another organization. It keeps its number, what is in it and its collaborators; teams lose it,
// and it loses the values of custom properties. An App that is installed on the one side loses it (installation_repositories.removed),
// one that is installed on the other gains it (added) and hears repository.transferred there, which is sent to nobody else.
func (r *Repository) Transfer(to *Organization) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.org == nil || r.org == to {
		panic(fmt.Sprintf("githubsim: %s is not of another organization than %s", r.fullName(), to.login))
	}
	from := r.org
	r.tellInstallations("removed")
	for _, t := range from.teams {
		delete(t.roles, r.id)
	}
	r.move(&to.account, r.name)
	r.org, r.properties = to, nil
	r.sim.tick()
	r.tellInstallations("added")
	r.sim.emit(r, "repository", "transferred", r.sim.users["ghost-owner"], obj{"changes": obj{"owner": obj{"from": obj{"organization": from.summary()}}}})
}

// move gives the repository another full name and lets the old one lead on.
func (r *Repository) move(owner *account, name string) {
	s := r.sim
	was, is := strings.ToLower(r.fullName()), strings.ToLower(owner.login+"/"+name)
	if was != is {
		s.mustBeFreeName(is, name)
		delete(s.repos, was)
		delete(s.moved, is)
		s.repos[is], s.moved[was] = r, r
	}
	r.owner, r.name = owner, name
}

func (s *Sim) mustBeFreeName(key, name string) {
	if s.repos[key] != nil || name == "" {
		panic(fmt.Sprintf("githubsim: repository %q is taken or has no name", key))
	}
}

// tellInstallations says that the repository is added to those of its owner's installations, or removed. Every App hears that, subscribed
// or not.
func (r *Repository) tellInstallations(action string) {
	for _, i := range r.installations() {
		if i.suspended {
			continue
		}
		body := obj{
			"installation": r.sim.installationJSON(i), "repository_selection": "all", "repositories_added": []obj{}, "repositories_removed": []obj{},
			"requester": nil, "sender": r.sim.users["ghost-owner"].json(),
		}
		body["repositories_"+action] = shortRepositories([]*Repository{r})
		r.sim.deliver(i.app, i, "installation_repositories", action, body)
	}
}

// repositoryNow is the repository of that full name, or the one that had it last.
func (s *Sim) repositoryNow(fullName string) *Repository {
	key := strings.ToLower(fullName)
	if r := s.repos[key]; r != nil {
		return r
	}
	if r := s.moved[key]; r != nil && !r.gone {
		return r
	}
	return nil
}

// hasMoved says whether the path names the repository by a full name that it has no more.
func (c *call) hasMoved() bool {
	return c.repo != nil && !strings.EqualFold(c.repo.fullName(), c.params["owner"]+"/"+c.params["repo"])
}

// leadOn answers a request for a name that the repository had with its address by number: 301, and 307 where the method matters.
func (c *call) leadOn() error {
	status := http.StatusTemporaryRedirect
	if c.req.Method == http.MethodGet {
		status = http.StatusMovedPermanently
	}
	rest := strings.SplitN(strings.TrimPrefix(c.req.URL.EscapedPath(), "/api/v3/"), "/", 4)[3:]
	to := c.sim.api("%s", strings.Join(append([]string{"repositories", itoa(c.repo.id)}, rest...), "/"))
	if c.req.URL.RawQuery != "" {
		to += "?" + c.req.URL.RawQuery
	}
	c.header.Set("Location", to)
	return c.reply(status, obj{"message": "Moved Permanently", "url": to, "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"})
}
