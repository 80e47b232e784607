package githubsim

import (
	"net/http"
	"strings"
)

// route is one endpoint. In a pattern {x} is one segment and {x...} is one or more, in the middle too: branch names have slashes.
type route struct {
	method     string
	segs       []string
	serve      func(*call) error
	need       [][]permission // what an App must hold: any of the lists, and of that all
	needText   string
	role       role // what a person must have; finer rules are in the act itself
	forApp     bool // takes the App's JWT and nothing else
	forClient  bool // takes the App's client secret and nothing else
	appsOnly   bool // an installation's token, no person's
	peopleOnly bool // a person's token, no installation's
	free       bool // takes anything and costs nothing
}

type permission struct{ name, level string }

// match finds the route; the first that fits wins, so literal segments come before parameters in the table.
func (s *Sim) match(method string, segs []string) (*route, map[string]string) {
	if len(segs) == 0 || segs[len(segs)-1] == "" { // also a slash at the end
		return nil, nil
	}
	for i := range s.routes {
		rt := &s.routes[i]
		if rt.method != method || rt.segs[0] != segs[0] {
			continue
		}
		if params, ok := fit(rt.segs, segs); ok {
			return rt, params
		}
	}
	return nil, nil
}

func fit(pattern, segs []string) (map[string]string, bool) {
	for i, p := range pattern {
		if strings.HasSuffix(p, "...}") {
			return fitRest(pattern, segs, i)
		}
		if i >= len(segs) || p[0] != '{' && p != segs[i] {
			return nil, false
		}
	}
	if len(segs) != len(pattern) {
		return nil, false
	}
	params := map[string]string{}
	for i, p := range pattern {
		take(params, p, segs[i])
	}
	return params, true
}

// fitRest fits a pattern whose segment at takes as many segments as are left over.
func fitRest(pattern, segs []string, at int) (map[string]string, bool) {
	after := len(pattern) - at - 1
	if len(segs) < len(pattern) {
		return nil, false
	}
	head, middle, tail := segs[:at], segs[at:len(segs)-after], segs[len(segs)-after:]
	params := map[string]string{strings.Trim(pattern[at], "{.}"): strings.Join(middle, "/")}
	for i, seg := range head {
		take(params, pattern[i], seg)
	}
	for i, seg := range tail {
		p := pattern[at+1+i]
		if p[0] != '{' && p != seg {
			return nil, false
		}
		take(params, p, seg)
	}
	return params, true
}

func take(params map[string]string, pattern, seg string) {
	if pattern[0] == '{' {
		params[strings.Trim(pattern, "{}")] = seg
	}
}

// option qualifies a route.
type option func(*route)

// needs says which permissions an App needs: "issues=write; pull_requests=write" means either, and a comma both, as in GitHub's header.
func needs(list string) option {
	return func(rt *route) {
		rt.needText = list
		for either := range strings.SplitSeq(list, "; ") {
			var together []permission
			for one := range strings.SplitSeq(either, ",") {
				name, level, _ := strings.Cut(one, "=")
				together = append(together, permission{name, level})
			}
			rt.need = append(rt.need, together)
		}
	}
}

func withRole(r role) option { return func(rt *route) { rt.role = r } }
func forApp(rt *route)       { rt.forApp = true }
func forClient(rt *route)    { rt.forClient = true }
func appsOnly(rt *route)     { rt.appsOnly = true }
func peopleOnly(rt *route)   { rt.peopleOnly = true }
func free(rt *route)         { rt.free = true }

// endpoint makes a route from "GET repos/{owner}/{repo}".
func endpoint(pattern string, serve func(*call) error, options ...option) route {
	method, path, _ := strings.Cut(pattern, " ")
	rt := route{method: method, segs: strings.Split(path, "/"), serve: serve}
	for _, o := range options {
		o(&rt)
	}
	return rt
}

func allRoutes() []route {
	var list []route
	for _, part := range [][]route{codespaceRoutes(), appRoutes(), ruleRoutes(), repositoryRoutes(), pullRoutes(), issueRoutes(), checkRoutes(), organizationRoutes(), gitRoutes(), threadRoutes(), propertyRoutes(), workflowRoutes(), secretRoutes(), clientRoutes()} {
		list = append(list, part...)
	}
	return list
}

func appRoutes() []route {
	return []route{
		endpoint("GET meta", serveMeta, free),
		endpoint("GET rate_limit", serveRateLimit, free),
		endpoint("GET user", serveUser, peopleOnly),
		endpoint("GET users/{user}", serveAccount),
		endpoint("GET user/{id}", serveAccountByID),
		endpoint("GET app", serveApp, forApp),
		endpoint("GET app/installations", serveInstallations, forApp),
		endpoint("GET app/installations/{id}", serveInstallation, forApp),
		endpoint("POST app/installations/{id}/access_tokens", serveNewToken, forApp),
		endpoint("GET app/hook/deliveries", serveDeliveries, forApp),
		endpoint("GET app/hook/deliveries/{id}", serveDelivery, forApp),
		endpoint("POST app/hook/deliveries/{id}/attempts", serveRedelivery, forApp),
		endpoint("GET orgs/{org}/installation", serveOwnerInstallation, forApp),
		endpoint("GET repos/{owner}/{repo}/installation", serveOwnerInstallation, forApp),
		endpoint("GET installation/repositories", serveInstallationRepositories),
		endpoint("DELETE installation/token", serveRevokeToken),
	}
}

func serveMeta(c *call) error {
	return c.reply(http.StatusOK, obj{"verifiable_password_authentication": true, "installed_version": "3.17.0"})
}
