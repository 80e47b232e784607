// Package site is the web site of a simulated GitHub: the pages that html_url points to, rendered on the server. A visitor
// acts as one of the simulation's people. What a page shows and what a button does comes from package githubsim, so that a
// refusal on a page is GitHub's own.
//
// It is for a demonstration on one machine: it knows no passwords, and answers only requests that name a loopback host.
package site

import (
	"context"
	"embed"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Options say what the site shows. All but Commands and Stories must be set.
type Options struct {
	Sim *githubsim.Sim
	// Home is the repository that the first page is about.
	Home *githubsim.Repository
	// People are those whom a visitor may act as; the first is whom one is at first.
	People []*githubsim.User
	// About is Markdown, shown on the first page.
	About string
	// Policy is the path of a file that the page about rules shows, and lets one write.
	Policy string
	// Commands are comments that have a button of their own.
	Commands []string
	// Stories are what one could try.
	Stories []Story
	// Settle waits until what was done has had its effect, or the context ends.
	Settle func(context.Context) error
}

// Story is a pull request to try, and what happens to it then.
type Story struct {
	Title string
	// Scene is what the policy file on the default branch says in this story; empty leaves it as it is.
	Scene string
	// As opens the pull request, called Name, with these files on this branch.
	As, Branch, Name string
	Files            map[string]string
	Steps            []Step
}

// Step is one thing that somebody does, with what the check says afterwards and whether Merge is allowed. State is success,
// failure or in_progress.
type Step struct {
	Says, State, Check string
	Merge              bool
}

// patience is how long an action waits for its effect before the page is shown without it.
const patience = 5 * time.Second

// largestForm bounds what a form may send.
const largestForm = 2 << 20

//go:embed static
var static embed.FS

type site struct {
	Options

	mu     sync.Mutex
	starts map[int]*Story // which story a pull request of Home was opened from
}

// New makes the site's handler; give it to [githubsim.Sim.ServePages].
func New(options Options) http.Handler {
	s := &site{Options: options, starts: map[int]*Story{}}
	mux := http.NewServeMux()
	for _, name := range []string{"style.css", "page.js"} {
		mux.HandleFunc("GET /-/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, static, "static/"+name) })
	}
	for pattern, show := range map[string]func(*visit) (page, error){
		"GET /{$}":                                 (*visit).start,
		"GET /{owner}/{repo}":                      (*visit).code,
		"GET /{owner}/{repo}/tree/{ref...}":        (*visit).code,
		"GET /{owner}/{repo}/blob/{ref}/{path...}": (*visit).file,
		"GET /{owner}/{repo}/commit/{sha}":         (*visit).commit,
		"GET /{owner}/{repo}/pulls":                (*visit).list,
		"GET /{owner}/{repo}/rules":                (*visit).rules,
		"POST /{owner}/{repo}/rules":               (*visit).setPolicy,
		"GET /{owner}/{repo}/compare":              (*visit).propose,
		"POST /{owner}/{repo}/compare":             (*visit).open,
		"GET /{owner}/{repo}/runs/{id}":            (*visit).run,
		"GET /{owner}/{repo}/pull/{number}":        (*visit).conversation,
		"GET /{owner}/{repo}/pull/{number}/{tab}":  (*visit).tab,
		"POST /{owner}/{repo}/pull/{number}/push":  (*visit).push,
		"POST /{owner}/{repo}/pull/{number}/{act}": (*visit).act,
		"GET /{login}":                             (*visit).people,
		"GET /orgs/{org}/teams/{team}":             (*visit).people,
	} {
		mux.HandleFunc(pattern, s.serve(show))
	}
	mux.HandleFunc("/", s.serve(func(*visit) (page, error) { return page{}, errNotFound }))
	return onlyHere(http.NewCrossOriginProtection().Handler(mux))
}

// onlyHere refuses what was not addressed to this machine by a loopback name: a page elsewhere whose name resolves to
// 127.0.0.1 is of another origin only in name.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "This site is for this machine alone.", http.StatusForbidden)
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// visit is one request: who acts, and what the path names.
type visit struct {
	*site
	r    *http.Request
	me   *githubsim.User
	repo *githubsim.Repository
	pull *githubsim.PullRequest // nil outside of one
}

var errNotFound = &githubsim.Refusal{Status: http.StatusNotFound, Message: "There is nothing at this address."}

// personCookie remembers whom the visitor acts as.
const personCookie = "as"

// serve answers one request with a page, a redirect or a refusal.
func (s *site) serve(show func(*visit) (page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, largestForm)
		if as := r.URL.Query().Get("as"); r.Method == http.MethodGet && as != "" {
			remember(w, as)
			http.Redirect(w, r, without(r.URL, "as"), http.StatusSeeOther) //nolint:gosec // the mux has cleaned the path: it is one of ours
			return
		}
		v, err := s.visit(r)
		var p page
		if err == nil {
			p, err = show(v)
		}
		if err != nil {
			p.refused(err)
		}
		if p.to != "" {
			http.Redirect(w, r, p.to, http.StatusSeeOther)
			return
		}
		v.write(w, p)
	}
}

// remember makes the visitor this person from now on. The name gives no right that anybody here lacks.
func remember(w http.ResponseWriter, login string) {
	//nolint:gosec // not Secure: the site is plain HTTP on loopback
	http.SetCookie(w, &http.Cookie{Name: personCookie, Value: url.QueryEscape(login), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// visit finds what the path names. It is never nil, also when it comes with an error.
func (s *site) visit(r *http.Request) (*visit, error) {
	v := &visit{site: s, r: r, me: s.People[0], repo: s.Home}
	if cookie, err := r.Cookie(personCookie); err == nil {
		login, _ := url.QueryUnescape(cookie.Value)
		v.become(login)
	}
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return v, &githubsim.Refusal{Status: http.StatusBadRequest, Message: "The form could not be read: " + err.Error()}
		}
		v.become(r.PostForm.Get("as"))
	}
	if name := r.PathValue("repo"); name != "" {
		repo := s.Sim.Repository(r.PathValue("owner") + "/" + name)
		if repo == nil {
			return v, errNotFound
		}
		v.repo = repo
	}
	if text := r.PathValue("number"); text != "" {
		number, _ := strconv.Atoi(text)
		if v.pull = v.repo.PullRequest(number); v.pull == nil {
			return v, errNotFound
		}
	}
	return v, nil
}

// become makes the visitor somebody else, if there is such a person.
func (v *visit) become(login string) {
	if i := slices.IndexFunc(v.People, func(u *githubsim.User) bool { return u.Login() == login }); i >= 0 {
		v.me = v.People[i]
	}
}

// settle waits until what was done has had its effect. If that takes too long the page says what there is, and its script
// tells the visitor when more has come.
func (v *visit) settle() {
	ctx, cancel := context.WithTimeout(v.r.Context(), patience)
	defer cancel()
	if err := v.Settle(ctx); err != nil || v.pull == nil {
		return
	}
	if group := v.pull.MergeGroup(); group != nil {
		group.Try()
		_ = v.Settle(ctx) // as above
	}
}

// form is a field of what was posted; empty lines end as they do in files.
func (v *visit) form(name string) string { return unixLines(v.r.PostForm.Get(name)) }

func (v *visit) formID() int64 {
	id, _ := strconv.ParseInt(v.form("id"), 10, 64) // 0 is nobody's id
	return id
}

// path is below the repository.
func (v *visit) path(rest string) string { return "/" + v.repo.FullName() + rest }

func without(u *url.URL, key string) string {
	query := u.Query()
	query.Del(key)
	return (&url.URL{Path: u.Path, RawQuery: query.Encode()}).String()
}

// refused makes the page say what GitHub said.
func (p *page) refused(err error) {
	var no *githubsim.Refusal
	if !errors.As(err, &no) {
		no = &githubsim.Refusal{Status: http.StatusInternalServerError, Message: err.Error()}
	}
	p.to, p.status, p.refusal = "", no.Status, no.Error()
}
