package githubsim

import (
	"slices"
	"strings"
)

// collaboratorEdge is a person with their role in a repository.
type collaboratorEdge struct {
	repo *Repository
	user *User
}

var collaboratorFields = fields{
	"edges": get(func(c *connection) any { return c.nodes }),
	"nodes": get(func(c *connection) any {
		users := make([]any, len(c.nodes))
		for i, edge := range c.nodes {
			users[i] = edge.(collaboratorEdge).user //nolint:forcetypeassert // collaborators makes no others
		}
		return users
	}),
	"totalCount": connectionFields["totalCount"],
	"pageInfo":   connectionFields["pageInfo"],
}

var collaboratorEdgeFields = fields{
	"node":       get(func(e collaboratorEdge) any { return e.user }),
	"permission": get(func(e collaboratorEdge) any { return strings.ToUpper(e.repo.role(e.user).String()) }),
}

// collaborators are the people who have a role by name, by team or as owners, and the members of the organization. Bots are no
// users there.
func (r *Repository) collaborators(q *query, args arguments) (any, error) {
	if err := q.allow(r, "metadata"); err != nil {
		return nil, err
	}
	login := args.text("login")
	people := slices.DeleteFunc(sortedUsers(q.sim.everyone()), func(u *User) bool {
		outside := r.roles[u.id] == roleNone && r.teamRole(u) == roleNone && !r.org.has(u) && r.owner.id != u.id
		return u.deleted || u.kind != "User" || outside || login != "" && !strings.EqualFold(login, u.login)
	})
	edges := make([]collaboratorEdge, len(people))
	for i, u := range people {
		edges[i] = collaboratorEdge{r, u}
	}
	return byID(edges, func(e collaboratorEdge) int64 { return e.user.id }).page(args)
}

func (s *Sim) everyone() map[int64]*User {
	all := map[int64]*User{}
	for _, u := range s.users {
		all[u.id] = u
	}
	return all
}
